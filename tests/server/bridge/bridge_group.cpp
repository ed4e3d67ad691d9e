// The bridge, without Triton, with models that share a process: one is refused, one goes and comes again, one finds no
// thread; the others answer rightly all the while. Prints what is not as it should be.
//
// FOLDER holds photofinish_backend/ and the guard's library; MODELS the folders `first`, `second` and `broken`, with a
// config.json in each.
#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <thread>

#include "fake_triton.h"

namespace {

constexpr uint64_t kPicture = 64 * 64 * 3;
std::atomic<bool> has_no_thread{false};
TRITONBACKEND_Backend backend;

struct Served {
  Served(const std::string& models, const std::string& name) {
    std::ifstream config(models + "/" + name + "/config.json");
    model = {name, models + "/" + name, {std::istreambuf_iterator<char>(config), {}}, &backend};
    instance = {&model, name + "_0_0", nullptr};
  }
  // Why it cannot be loaded.
  std::string load() {
    TRITONSERVER_Error* error = TRITONBACKEND_ModelInstanceInitialize(&instance);
    const std::string text = error ? error->text : "";
    delete error;
    return text;
  }
  void unload() { TRITONBACKEND_ModelInstanceFinalize(&instance); }
  bool is_right(uint8_t level) {
    const std::string pixels(kPicture, static_cast<char>(level));
    TRITONBACKEND_Request request;
    request.inputs.push_back({"frames", 2, {1, 64, 64, 3}, kPicture, {{pixels.data(), kPicture}}});
    request.outputs = {"detections"};
    TRITONBACKEND_Request* requests[] = {&request};
    if (TRITONBACKEND_ModelInstanceExecute(&instance, requests, 1)) return false;
    wait_until_released(request);
    const auto found = request.answer.find("detections");
    if (found == request.answer.end() || found->second.bytes.size() != 24) return false;
    float mean = 0;
    std::memcpy(&mean, found->second.bytes.data(), 4);
    return std::fabs(mean - level) < 0.01;
  }
  TRITONBACKEND_Model model;
  TRITONBACKEND_ModelInstance instance;
};

std::set<int> children() {
  std::set<int> found;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(task.path() / "children");
    for (int pid = 0; file >> pid;) found.insert(pid);
  }
  return found;
}

int wrong = 0;
void expect(bool is_so, const std::string& what) {
  if (is_so) return;
  std::printf("not so: %s\n", what.c_str());
  ++wrong;
}

}  // namespace

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*work)(void*), void* word) {
  using Function = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto genuine = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "pthread_create"));
  return has_no_thread ? EAGAIN : genuine(thread, attributes, work, word);
}

// A request whose second buffer on the GPU is longer than it says, and two honest ones of the same round behind it.
int run_gpu(const std::string& folder, const std::string& models) {
  backend.folder = folder;
  Served first(models, "first");
  expect(first.load().empty(), "it is loaded");
  const std::string half(kPicture / 2, 'x'), pixels[] = {std::string(kPicture, 'a'), std::string(kPicture, 'b')};
  TRITONBACKEND_Request bad, host, gpu;
  bad.inputs.push_back({"frames", 2, {1, 64, 64, 3}, kPicture, {{half.data(), half.size()}, {half.data(), kPicture}}, true});
  host.inputs.push_back({"frames", 2, {1, 64, 64, 3}, kPicture, {{pixels[0].data(), kPicture}}});
  gpu.inputs.push_back({"frames", 2, {1, 64, 64, 3}, kPicture, {{pixels[1].data(), kPicture}}, true});
  TRITONBACKEND_Request* requests[] = {&bad, &host, &gpu};
  for (TRITONBACKEND_Request* request : requests) request->outputs = {"detections"};
  expect(TRITONBACKEND_ModelInstanceExecute(&first.instance, requests, 3) == nullptr, "they are executed");
  for (TRITONBACKEND_Request* request : requests) wait_until_released(*request);
  expect(bad.error.find("longer than it says") != std::string::npos, "the bad one is refused: " + bad.error);
  for (int i = 0; i < 2; ++i) {
    float mean = 0;
    const auto& bytes = requests[1 + i]->answer["detections"].bytes;
    if (bytes.size() == 24) std::memcpy(&mean, bytes.data(), 4);
    expect(std::fabs(mean - static_cast<float>('a' + i)) < 0.01, "an honest one has its own answer, not " + std::to_string(mean));
  }
  first.unload();
  std::printf("%d wrong\n", wrong);
  return wrong != 0;
}

int run_group(const std::string& folder, const std::string& models) {
  backend.folder = folder;
  Served first(models, "first"), second(models, "second"), broken(models, "broken");
  has_no_thread = true;
  const std::string none = first.load();
  expect(none.find("no thread can be started") != std::string::npos, "the first is refused for want of a thread: " + none);
  has_no_thread = false;
  expect(first.load().empty() && second.load().empty(), "both are loaded");
  const std::set<int> shared = children();
  expect(shared.size() == 1, "both are in one process");

  std::atomic<int> right{0};
  std::thread other([&] { for (int i = 0; i < 100; ++i) right += second.is_right(static_cast<uint8_t>(i)); });
  for (int i = 0; i < 100; ++i) right += first.is_right(static_cast<uint8_t>(200 - i));
  other.join();
  expect(right == 200, "both answer rightly at the same time: " + std::to_string(right) + " of 200");

  std::atomic<bool> is_over{false}, is_always_right{true};
  std::thread meanwhile([&] { while (!is_over) is_always_right = second.is_right(7) && is_always_right; });
  const std::string refused = broken.load();
  expect(refused.find("model.onnx does not exist") != std::string::npos, "the broken one is refused: " + refused);
  for (int i = 0; i < 3; ++i) {
    first.unload();
    const std::string why = first.load();
    expect(why.empty() && first.is_right(9), "the first comes again: " + why);
  }
  first.unload();
  has_no_thread = true;
  const std::string unwatched = first.load();
  expect(unwatched.find("no thread can be started to watch") != std::string::npos, "the first is refused: " + unwatched);
  has_no_thread = false;
  is_over = true;
  meanwhile.join();
  expect(is_always_right, "the second answers rightly all the while");
  expect(children() == shared, "it is the same process");
  second.unload();
  expect(children().empty(), "no process is left");
  std::printf("%d wrong\n", wrong);
  return wrong != 0;
}
