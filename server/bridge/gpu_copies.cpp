#include "gpu_copies.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace photofinish {
namespace {

using Pointer = unsigned long long;  // CUdeviceptr
struct Handle {
  char bytes[64];
};  // CUipcMemHandle
constexpr unsigned kNonBlocking = 1;
constexpr unsigned kLazyPeerAccess = 1;

}  // namespace

struct GpuCopies::Driver {
  void* library = nullptr;
  void* context = nullptr;
  void* stream = nullptr;
  int device = 0;
  std::vector<Pointer> opened;

  template <typename... Values>
  void call(const char* name, Values... values) {
    using Function = int (*)(Values...);
    const auto function = reinterpret_cast<Function>(dlsym(library, name));
    const int code = function ? function(values...) : -1;
    if (code != 0) throw std::runtime_error(std::string(name) + " failed with CUDA's code " + std::to_string(code));
  }
};

GpuCopies::GpuCopies(int device) : driver_(std::make_unique<Driver>()) {
  Driver& driver = *driver_;
  driver.library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (driver.library == nullptr) throw std::runtime_error("there is no CUDA driver");
  driver.call("cuInit", 0u);
  driver.call("cuDeviceGet", &driver.device, device);
  driver.call("cuDevicePrimaryCtxRetain", &driver.context, driver.device);
  driver.call("cuCtxSetCurrent", driver.context);
  driver.call("cuStreamCreate", &driver.stream, kNonBlocking);
}

GpuCopies::~GpuCopies() {
  const auto attempt = [this](const char* name, auto value) {
    try {
      driver_->call(name, value);
    } catch (const std::runtime_error&) {
      // the driver is shutting down with the server
    }
  };
  attempt("cuCtxSetCurrent", driver_->context);
  // The memory of a process that has ended stays for as long as it is open here.
  for (const Pointer address : driver_->opened) attempt("cuIpcCloseMemHandle", address);
  attempt("cuStreamDestroy_v2", driver_->stream);
  attempt("cuDevicePrimaryCtxRelease_v2", driver_->device);
}

uint64_t GpuCopies::open(const std::string& handle) {
  Handle raw{};
  std::memcpy(raw.bytes, handle.data(), std::min(handle.size(), sizeof raw.bytes));
  Pointer address = 0;
  driver_->call("cuCtxSetCurrent", driver_->context);
  driver_->call("cuIpcOpenMemHandle_v2", &address, raw, kLazyPeerAccess);
  driver_->opened.push_back(address);
  return address;
}

void GpuCopies::to_gpu(uint64_t target, const void* source, size_t size) {
  driver_->call("cuCtxSetCurrent", driver_->context);
  // The client's memory may be another GPU's: this call finds out by the addresses.
  driver_->call("cuMemcpyAsync", Pointer{target}, reinterpret_cast<Pointer>(source), size, driver_->stream);
}

void GpuCopies::to_host(void* target, const void* source, size_t size) {
  driver_->call("cuCtxSetCurrent", driver_->context);
  driver_->call("cuMemcpyDtoHAsync_v2", target, reinterpret_cast<Pointer>(source), size, driver_->stream);
}

void GpuCopies::from_host(void* target, const void* source, size_t size) {
  driver_->call("cuCtxSetCurrent", driver_->context);
  driver_->call("cuMemcpyHtoDAsync_v2", reinterpret_cast<Pointer>(target), source, size, driver_->stream);
}

void GpuCopies::finish() { driver_->call("cuStreamSynchronize", driver_->stream); }

}  // namespace photofinish
