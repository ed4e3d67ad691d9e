// Copies from and to GPU memory that a client shares, by CUDA's driver; loaded when the first such request comes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace photofinish {

class GpuCopies {
 public:
  // Throws std::runtime_error when the GPU cannot be used.
  explicit GpuCopies(int device);
  ~GpuCopies();
  GpuCopies(const GpuCopies&) = delete;
  GpuCopies& operator=(const GpuCopies&) = delete;

  // The address here of memory that another process exported with this handle, for as long as this object lives.
  // Throws std::runtime_error.
  uint64_t open(const std::string& handle);
  // Start a copy; `finish` waits for all. Throw std::runtime_error.
  void to_gpu(uint64_t target, const void* source, size_t size);
  void to_host(void* target, const void* source, size_t size);
  void from_host(void* target, const void* source, size_t size);
  void finish();

 private:
  struct Driver;
  std::unique_ptr<Driver> driver_;
};

}  // namespace photofinish
