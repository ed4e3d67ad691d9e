// The memory that the bridge and a model process share, and how they wake each other.
// ../backend/lane/layout.py has the same bytes; a test compares the sizes.
#pragma once

#include <cstdint>

namespace photofinish {

constexpr uint32_t kMaxRequests = 256;
constexpr uint32_t kMaxTensors = 8;
constexpr uint32_t kMaxDims = 8;
constexpr uint32_t kErrorBytes = 376;

// Where a tensor's bytes are.
enum Place : uint32_t {
  kInLane = 0,    // in this memory, at `offset`
  kInRegion = 1,  // in a client's region, at `offset`; `region` is the bridge's file descriptor of it, `inode` its proof
  kInBatch = 2,   // already in the model process's own input buffer on the GPU, at `offset`
};

struct Tensor {
  uint32_t place;
  uint32_t dims_count;
  uint64_t offset;
  uint64_t byte_size;
  uint64_t region;
  uint64_t inode;
  int64_t dims[kMaxDims];
};

// One request of an execution. `failed` and `error` (UTF-8, ended by a zero) are its answer.
struct Request {
  uint32_t failed;
  uint32_t reserved;
  Tensor inputs[kMaxTensors];
  Tensor outputs[kMaxTensors];
  char error[kErrorBytes];
};

// `asked` and `answered` are futexes: the bridge counts an execution in `asked` when its requests stand here, the model
// process sets `answered` to the same number when the outputs do, and wakes the bridge if `bridge_sleeps`.
struct Lane {
  uint32_t asked;
  uint32_t answered;
  uint32_t request_count;
  uint32_t bridge_sleeps;
  uint64_t input_ns;   // what the copies to the GPU took of its time, as it last measured; 0 without a GPU
  uint64_t output_ns;  // the same of the copies back
  uint8_t reserved[4096 - 4 * 4 - 2 * 8];
  Request requests[kMaxRequests];
};

static_assert(sizeof(Tensor) == 104 && sizeof(Request) == 2048 && sizeof(Lane) == 4096 + 256 * 2048);

}  // namespace photofinish
