// The memory that the bridge and a model process share, and how they wake each other.
// ../backend/lane/layout.py has the same bytes; a test compares the sizes.
#pragma once

#include <cstdint>

namespace photofinish {

constexpr uint32_t kMaxSlots = 2;
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

// One execution, beside its requests.
struct Slot {
  uint32_t request_count;
  uint32_t reserved;
  uint64_t input_ns;   // what the copies to the GPU took of its time, as last measured; 0 without a GPU
  uint64_t output_ns;  // the same of the copies back
};

// `asked` and `answered` are futexes: the bridge sets an execution's number in `asked` when its requests stand here, the
// model process sets `answered` to the same number when the outputs do, and wakes the bridge if `bridge_sleeps`.
// Executions are numbered one after the other and answered in that order. Number n stands in slot n modulo the slots
// that the model process has; so many may be asked and not yet answered.
struct Lane {
  uint32_t asked;
  uint32_t answered;
  uint32_t bridge_sleeps;
  uint32_t reserved;
  Slot slots[kMaxSlots];
  uint8_t unused[4096 - 4 * 4 - kMaxSlots * 24];
  Request requests[kMaxSlots * kMaxRequests];
};

static_assert(sizeof(Tensor) == 104 && sizeof(Request) == 2048 && sizeof(Slot) == 24);
static_assert(sizeof(Lane) == 4096 + kMaxSlots * kMaxRequests * 2048);

}  // namespace photofinish
