// Triton 2.51 calls a model ready once it was loaded, whatever became of the process that runs it. The server's program
// asks its library by two functions; this library is loaded before that one (LD_PRELOAD) and answers in its place.

#include "readiness.h"

#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "triton_api.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

struct TRITONSERVER_Server;

namespace photofinish {
namespace {

struct Counts {
  int instances = 0;
  int serving = 0;
};

struct State {
  std::mutex mutex;
  std::map<std::string, Counts> models;
};

// Never destroyed: the server may ask while it ends.
State& state() {
  static State* all = new State;
  return *all;
}

bool serves(const Counts& counts) { return counts.instances <= 0 || counts.serving > 0; }

// Each backend has a copy of this library; the counts are kept by the one that the server's program asks.
void report(const char* model, int instances, int serving) {
  using Function = void (*)(const char*, int, int);
  const auto first = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, "photofinish_report"));
  if (first != nullptr) first(model, instances, serving);
}

// What was loaded before the server is not for the programs that it starts.
__attribute__((constructor)) void hide_from_children() {
  const char* preloaded = std::getenv("LD_PRELOAD");
  if (preloaded == nullptr || std::strstr(preloaded, "libtriton_photofinish.so") == nullptr) return;
  const char* others = std::strchr(preloaded, ':');
  if (others != nullptr) {
    const std::string rest = others + 1;
    setenv("LD_PRELOAD", rest.c_str(), 1);
  } else {
    unsetenv("LD_PRELOAD");
  }
}

}  // namespace

void report_serving(const std::string& model, int change) { report(model.c_str(), 0, change); }
void report_instance(const std::string& model, int change) { report(model.c_str(), change, 0); }

}  // namespace photofinish

using photofinish::state;

EXPORTED void photofinish_report(const char* model, int instances, int serving) {
  const std::lock_guard<std::mutex> lock(state().mutex);
  photofinish::Counts& counts = state().models[model];
  counts.instances += instances;
  counts.serving += serving;
}

EXPORTED TRITONSERVER_Error* TRITONSERVER_ServerIsReady(TRITONSERVER_Server* server, bool* ready) {
  using Function = TRITONSERVER_Error* (*)(TRITONSERVER_Server*, bool*);
  static const auto genuine = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "TRITONSERVER_ServerIsReady"));
  TRITONSERVER_Error* error = genuine(server, ready);
  if (error != nullptr || !*ready) return error;
  const std::lock_guard<std::mutex> lock(state().mutex);
  for (const auto& [model, counts] : state().models) *ready = *ready && photofinish::serves(counts);
  return nullptr;
}

EXPORTED TRITONSERVER_Error* TRITONSERVER_ServerModelIsReady(TRITONSERVER_Server* server, const char* model,
                                                             int64_t version, bool* ready) {
  using Function = TRITONSERVER_Error* (*)(TRITONSERVER_Server*, const char*, int64_t, bool*);
  static const auto genuine = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "TRITONSERVER_ServerModelIsReady"));
  TRITONSERVER_Error* error = genuine(server, model, version, ready);
  if (error != nullptr || !*ready) return error;
  const std::lock_guard<std::mutex> lock(state().mutex);
  const auto found = state().models.find(model);
  *ready = found == state().models.end() || photofinish::serves(found->second);
  return nullptr;
}
