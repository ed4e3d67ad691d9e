// One model instance's process, which is Python, and the lane to it.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
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

// A model that does not go together with those that share the process; the text is how its group's name goes on.
struct ApartError : ProcessError {
  using ProcessError::ProcessError;
};

struct TensorSpec {
  std::string name;
  int datatype;
};

// The buffer on the GPU for an input in a slot, as CUDA shares it between processes; empty where there is none.
struct SharedBuffer {
  std::string handle;
  uint64_t offset = 0;
};

struct Gauge {
  std::string name, description, device;
  double value;
};

// What the process said of itself when it was ready.
struct ModelLayout {
  std::vector<TensorSpec> inputs, outputs;
  std::array<std::array<SharedBuffer, kMaxTensors>, kMaxSlots> input_buffers;
  std::vector<Gauge> gauges;
  uint64_t byte_size = 0;        // of the whole lane
  uint64_t staging_offset = 0;   // where inputs of the first slot may be written
  uint64_t staging_size = 0;
  uint32_t slots = 1;            // executions that may be asked and not yet answered
  uint64_t stride = 0;           // how far behind the first slot's staging area the second one's lies
  bool is_batched = false;       // the first dimension counts pictures
  bool reads_regions = false;    // it can open this process's descriptors, and so the clients' memory
};

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
  std::string label() const { return child_->label(); }
  int socket() const { return child_->socket(); }
  uint8_t* memory() { return reinterpret_cast<uint8_t*>(lane_); }

  // The number that the next execution will have, and what belongs to an execution. No more than `slots` may be asked
  // and not yet answered; whoever asks takes care of that.
  uint32_t next() const { return asked_ + 1; }
  Request* requests(uint32_t number) { return lane_->requests + slot(number) * kMaxRequests; }
  const Slot& figures(uint32_t number) const { return lane_->slots[slot(number)]; }
  uint64_t staging_offset(uint32_t number) const { return layout_.staging_offset + slot(number) * layout_.stride; }
  uint32_t slot(uint32_t number) const { return number % layout_.slots; }
  // Hands over the first `count` requests of the next execution.
  void ask(uint32_t count);
  // Waits until the execution, `rows` pictures in all, is answered; it could begin at `since_ns`. Throws ProcessError
  // when the process ended, stands still, or takes much longer than ever before; then it is of no use any more.
  void wait(uint32_t number, uint32_t rows, uint64_t since_ns);
  // How long executions of so many pictures take of late.
  uint64_t usual_ns(uint32_t rows) const { return usual_ns_[digits_of(rows)]; }
  // Why it can serve no longer, "" while it can.
  std::string look();
  // Whether another model may have ended it, which shares it: this one was asked nothing, or the other is known.
  bool is_bystander();
  // Ends it where it runs, and lets `socket` be read.
  void hang_up();
  // Waits until it has ended, so that its memory is free; no longer than some seconds.
  void wait_for_end();

 private:
  static constexpr size_t kDigits = 9;
  static size_t digits_of(uint32_t rows);
  bool has_answered(uint32_t number) const;
  bool sleep(uint32_t number, uint64_t limit_ns);
  bool look(uint32_t number, uint64_t until_ns);
  void receive_layout(uint64_t limit_ns, int stop_event);
  uint64_t limit_ns(size_t digits) const;

  std::unique_ptr<Child> child_;
  std::mutex child_mutex_;  // two threads may look at it
  Lane* lane_ = nullptr;
  ModelLayout layout_;
  std::string end_;  // why it is of no use any more, once that is known
  bool may_look_ = false;
  uint32_t asked_ = 0;
  // How long executions take of late, and took at most, by the binary digits of their rows. One thread waits.
  std::array<std::atomic<uint64_t>, kDigits> usual_ns_{};
  std::array<uint64_t, kDigits> slowest_ns_{};
};

}  // namespace photofinish
