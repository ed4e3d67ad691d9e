// One model instance's process, which is Python, and the lane to it.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

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
  // Starts the script and waits until the model is loaded and warm. Throws ProcessError.
  ModelProcess(const std::string& python, const std::string& script, const std::string& instance_name,
                const Arguments& arguments);
  ~ModelProcess();
  ModelProcess(const ModelProcess&) = delete;
  ModelProcess& operator=(const ModelProcess&) = delete;

  const ModelLayout& layout() const { return layout_; }
  pid_t pid() const { return pid_; }
  Lane& lane() { return *lane_; }
  uint8_t* memory() { return reinterpret_cast<uint8_t*>(lane_); }

  // Runs the requests that stand in the lane, `rows` pictures in all, and waits for their outputs. Throws ProcessError
  // when the process ended.
  void run(uint32_t rows);

 private:
  bool has_answered(uint32_t number) const;
  bool sleep(uint32_t number, uint64_t limit_ns);
  bool look(uint32_t number, uint64_t until_ns);
  void start(const std::string& python, const std::string& script, const std::string& instance_name);
  void send(const Arguments& arguments);
  void receive_layout();
  void stop();
  std::string how_it_ended();

  pid_t pid_ = -1;
  int socket_ = -1;
  int memory_file_ = -1;
  Lane* lane_ = nullptr;
  ModelLayout layout_;
  bool may_look_ = false;
  std::array<uint64_t, 9> usual_ns_{};  // how long executions take of late, by the binary digits of their rows
};

}  // namespace photofinish
