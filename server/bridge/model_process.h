// One model instance's process, which is Python, and the lane to it.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "child.h"
#include "lane.h"

namespace photofinish {

// A model that the process refuses, or a process that ended. The text is for the user.
struct ProcessError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct TensorSpec {
  std::string name;
  int datatype;
};

// Its input buffer on the GPU, as CUDA shares it between processes; empty on the CPU.
struct SharedBuffer {
  std::string handle;
  uint64_t offset;
};

struct Gauge {
  std::string name, description, device;
  double value;
};

// What the process said of itself when it was ready.
struct ModelLayout {
  std::vector<TensorSpec> inputs, outputs;
  std::vector<SharedBuffer> input_buffers;
  std::vector<Gauge> gauges;
  uint64_t byte_size = 0;        // of the whole lane
  uint64_t staging_offset = 0;   // where inputs may be written
  uint64_t staging_size = 0;
  bool is_batched = false;       // the first dimension counts pictures
  bool reads_regions = false;    // it can open this process's descriptors, and so the clients' memory
};

using Arguments = std::vector<std::pair<std::string, std::string>>;

class ModelProcess {
 public:
  // Gives the process its model and waits until that is loaded and warm, no longer than the limit or until
  // `stop_event` can be read. Throws ProcessError.
  ModelProcess(std::unique_ptr<Child> child, const Arguments& arguments, uint64_t limit_ns, int stop_event);
  ~ModelProcess();
  ModelProcess(const ModelProcess&) = delete;
  ModelProcess& operator=(const ModelProcess&) = delete;

  const ModelLayout& layout() const { return layout_; }
  pid_t pid() const { return child_->pid(); }
  int socket() const { return child_->socket(); }
  Lane& lane() { return *lane_; }
  uint8_t* memory() { return reinterpret_cast<uint8_t*>(lane_); }

  // Runs the requests that stand in the lane, `rows` pictures in all, and waits for their outputs. Throws ProcessError
  // when the process ended, stands still, or takes much longer than ever before; then it is of no use any more.
  void run(uint32_t rows);
  // Why it can serve no longer, "" while it can.
  std::string look();
  // Ends it where it runs, and lets `socket` be read.
  void hang_up();

 private:
  bool has_answered(uint32_t number) const;
  bool sleep(uint32_t number, uint64_t limit_ns);
  bool look(uint32_t number, uint64_t until_ns);
  void send(const Arguments& arguments);
  void receive_layout(uint64_t limit_ns, int stop_event);
  uint64_t limit_ns(size_t digits) const;

  std::unique_ptr<Child> child_;
  Lane* lane_ = nullptr;
  ModelLayout layout_;
  bool may_look_ = false;
  // How long executions take of late, and took at most, by the binary digits of their rows.
  std::array<uint64_t, 9> usual_ns_{}, slowest_ns_{};
};

}  // namespace photofinish
