// A Triton backend that hands every execution to a model process of its own, by memory that both share.
//
// It stands in for Triton's Python backend, which copies every picture into its own shared memory and needs several
// hops between the processes. Here a picture that lies in a client's region is not copied at all, any other once, and
// there is one hop each way. What runs a model is the same Python as there, a process for each instance: its memory on
// the GPU can be told apart, and a crash takes no other model along. With PHOTOFINISH_GROUP=1 models of one device have a
// place each in one process, and one context there.

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "blame.h"
#include "clock.h"
#include "gpu_copies.h"
#include "guard.h"
#include "keeper.h"
#include "model_process.h"
#include "regions.h"
#include "threads.h"
#include "triton_api.h"

namespace photofinish {
namespace {

constexpr char kRegionParameter[] = "photofinish_region";
constexpr char kPythonVariable[] = "PHOTOFINISH_PYTHON";
constexpr char kGroupVariable[] = "PHOTOFINISH_GROUP";
constexpr char kGuard[] = "/libphotofinish_guard.so";
constexpr char kScript[] = "/photofinish_backend/lane/process.py";
constexpr char kShrunk[] =
    " lies in shared memory that is shorter than the request says; register it with the size that it has";
constexpr char kNoRegion[] =
    ": a client's shared memory cannot be read where it is (another user's or container's, or an odd offset in it?); "
    "its pictures are copied once";
constexpr uint64_t kAlignment = 256;
constexpr uint64_t kMaxLeadNs = 1'000'000;  // how long before the end of what runs the next execution is made up

// An error on its way to Triton.
struct Failure : std::runtime_error {
  Failure(int error_code, const std::string& text) : std::runtime_error(text), code(error_code) {}
  int code;
};

void check(TRITONSERVER_Error* error) {
  if (error == nullptr) return;
  const std::string text = TRITONSERVER_ErrorMessage(error);
  TRITONSERVER_ErrorDelete(error);
  throw Failure(kErrorInternal, text);
}

// For calls whose failure nobody can be told of.
void ignore(TRITONSERVER_Error* error) {
  if (error != nullptr) TRITONSERVER_ErrorDelete(error);
}

void say(int level, const std::string& text) {
  ignore(TRITONSERVER_LogMessage(level, "photofinish", 0, text.c_str()));
}

// The clients' regions that all instances share; they go with the last of these.
std::shared_ptr<Regions> shared_regions() {
  static std::mutex mutex;
  static std::weak_ptr<Regions> shared;
  const std::lock_guard<std::mutex> lock(mutex);
  std::shared_ptr<Regions> regions = shared.lock();
  if (!regions) shared = regions = std::make_shared<Regions>();
  return regions;
}

// What a tensor of this shape takes. Throws Failure where no memory could hold it.
uint64_t bytes_of_shape(const std::string& name, int datatype, const int64_t* dims, uint32_t count) {
  uint64_t bytes = TRITONSERVER_DataTypeByteSize(datatype);
  for (uint32_t i = 0; i < count; ++i)
    if (dims[i] < 0 || __builtin_mul_overflow(bytes, static_cast<uint64_t>(dims[i]), &bytes))
      throw Failure(kErrorInvalidArgument, name + " has an impossible shape");
  return bytes;
}

// What a request asks for, as far as its shapes tell.
std::string shape_of(const ModelLayout& layout, const Request& slot) {
  std::string text;
  for (size_t index = 0; index < layout.inputs.size(); ++index) {
    const Tensor& tensor = slot.inputs[index];
    text += (index > 0 ? ", " : "") + layout.inputs[index].name + " [";
    // Its model process may have written there before it ended.
    const uint32_t count = std::min(tensor.dims_count, kMaxDims);
    for (uint32_t i = 0; i < count; ++i) text += (i > 0 ? ", " : "") + std::to_string(tensor.dims[i]);
    text += "]";
  }
  return text;
}

// The memory figures of one instance as Prometheus gauges, for as long as it lives.
class Gauges {
 public:
  Gauges(const std::string& model, const ModelProcess& process) {
    const std::string instance = process.label();
    for (const Gauge& gauge : process.layout().gauges) {
      Entry entry{};
      const std::pair<const char*, const std::string*> texts[] = {
          {"model", &model}, {"instance", &instance}, {"device", &gauge.device}};
      std::vector<const TRITONSERVER_Parameter*> labels;
      for (const auto& [key, value] : texts)
        labels.push_back(TRITONSERVER_ParameterNew(key, kParameterString, value->c_str()));
      ignore(TRITONSERVER_MetricFamilyNew(&entry.family, kMetricGauge, gauge.name.c_str(), gauge.description.c_str()));
      if (entry.family) ignore(TRITONSERVER_MetricNew(&entry.metric, entry.family, labels.data(), labels.size()));
      if (entry.metric) ignore(TRITONSERVER_MetricSet(entry.metric, gauge.value));
      for (const auto* label : labels) TRITONSERVER_ParameterDelete(const_cast<TRITONSERVER_Parameter*>(label));
      entries_.push_back(entry);
    }
  }
  ~Gauges() {
    for (const Entry& entry : entries_) {
      if (entry.metric) ignore(TRITONSERVER_MetricDelete(entry.metric));
      if (entry.family) ignore(TRITONSERVER_MetricFamilyDelete(entry.family));
    }
  }
  Gauges(const Gauges&) = delete;
  Gauges& operator=(const Gauges&) = delete;

 private:
  struct Entry {
    TRITONSERVER_MetricFamily* family;
    TRITONSERVER_Metric* metric;
  };
  std::vector<Entry> entries_;
};

// One request of an execution and what becomes of it.
struct Job {
  TRITONBACKEND_Request* request;
  uint32_t rows = 0;
  bool has_failed = false;
  std::string error;
  int code = kErrorInternal;
  TRITONBACKEND_Response* response = nullptr;

  void fail(int with_code, std::string text) {
    has_failed = true;
    code = with_code;
    error = std::move(text);
  }
};

// Requests that are executed together.
struct Round {
  std::vector<Job> jobs;
  std::shared_ptr<ModelProcess> process;  // that was asked; null where none serves
  uint32_t number = 0;                    // of the execution there
  uint32_t placed = 0;                    // how many of the jobs stand in its slot; 0 where all have failed
  uint32_t rows = 0;                      // pictures of those
  uint64_t executed_ns = 0, asked_ns = 0;
};

// One model instance. Where its process has one slot, Triton's thread does all of it. Where it has two, Triton's thread
// puts requests into the free slot and returns when the next ones can be made up; a thread of this class waits for the
// answers, in order, and sends them.
class Instance {
 public:
  explicit Instance(TRITONBACKEND_ModelInstance* instance);
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;
  void execute(TRITONBACKEND_Request** requests, uint32_t count);

 private:
  void adopt(ModelProcess* process);
  void wait_for_slot(bool is_for_more);
  void ask(Round& round, std::vector<Job>* left);
  void place_requests(Round& round, std::vector<Job>* left);
  void place(Job& job, const Round& round, Request& slot, uint64_t& used);
  void place_input(const Job& job, const Round& round, size_t index, Tensor& tensor, uint64_t& used);
  bool read_in_place(const Job& job, const void* source, Tensor& tensor);
  void queue(Round round);
  void answer_in_order();
  bool wait(Round& round, uint64_t since_ns);
  void fill_responses(Round& round);
  void fill_response(Job& job, ModelProcess* process, const Request& slot);
  void check_answer(const ModelProcess& process, const Tensor& tensor, const TensorSpec& spec) const;
  void send(Round& round, uint64_t since_ns, uint64_t computed_ns);
  void send(Job& job);
  void blame(const Round& round, bool has_ended);
  bool has_ended(const Round& round) const;
  GpuCopies& gpu(const ModelProcess& process);
  uint64_t batch_address(const Round& round, size_t index) const {
    return batch_addresses_[round.process->slot(round.number)][index];
  }

  TRITONBACKEND_ModelInstance* instance_;
  std::string model_name_;
  int device_ = 0;
  std::unique_ptr<Gauges> gauges_;
  // For inputs, under the keeper's lock; with them the addresses of the process's buffers, once opened.
  std::unique_ptr<GpuCopies> gpu_;
  std::array<std::array<uint64_t, kMaxTensors>, kMaxSlots> batch_addresses_{};
  std::unique_ptr<GpuCopies> answer_gpu_;  // for answers, which one thread fills in
  std::shared_ptr<Regions> regions_ = shared_regions();
  bool has_told_of_regions_ = false;
  std::shared_ptr<Blame> blame_;

  std::mutex queue_mutex_;  // for all of these
  std::condition_variable queue_changed_;
  std::deque<Round> queue_;             // asked, not yet answered; the first one belongs to the thread that answers
  uint64_t running_since_ns_ = 0;       // since when the first one runs
  uint64_t computed_ns_ = 0;            // when the last one had run
  std::weak_ptr<ModelProcess> ended_;   // the last one that ended at its work
  bool is_mending_ = false;             // a round that it left is to be asked again before any other
  bool is_ending_ = false;
  uint32_t slots_ = 1;                  // of the process that serves
  std::thread answers_;                 // where there are two

  std::unique_ptr<Keeper> keeper_;  // ends before what it calls
};

// The staging area has no room left for this request in this round.
struct NoRoom {};

// Copies of one input that were begun. Also where the request fails they end before another one has its place.
class Copying {
 public:
  Copying() = default;
  ~Copying() {
    try {
      finish();
    } catch (const std::runtime_error&) {
      // the request is told of its first error, and the next one of this
    }
  }
  Copying(const Copying&) = delete;
  Copying& operator=(const Copying&) = delete;
  GpuCopies& by(GpuCopies& copies) { return *(copies_ = &copies); }
  void finish() {
    if (GpuCopies* begun = std::exchange(copies_, nullptr)) begun->finish();
  }

 private:
  GpuCopies* copies_ = nullptr;
};

Instance::Instance(TRITONBACKEND_ModelInstance* instance) : instance_(instance) {
  TRITONBACKEND_Model* model = nullptr;
  TRITONBACKEND_Backend* backend = nullptr;
  TRITONSERVER_Message* config = nullptr;
  const char *name = nullptr, *model_name = nullptr, *repository = nullptr, *folder = nullptr, *json = nullptr;
  int kind = 0, artifact_type = 0;
  int32_t device = 0;
  uint64_t version = 0;
  size_t json_size = 0;
  check(TRITONBACKEND_ModelInstanceModel(instance, &model));
  check(TRITONBACKEND_ModelInstanceName(instance, &name));
  check(TRITONBACKEND_ModelInstanceKind(instance, &kind));
  check(TRITONBACKEND_ModelInstanceDeviceId(instance, &device));
  check(TRITONBACKEND_ModelName(model, &model_name));
  check(TRITONBACKEND_ModelVersion(model, &version));
  check(TRITONBACKEND_ModelRepository(model, &artifact_type, &repository));
  check(TRITONBACKEND_ModelBackend(model, &backend));
  check(TRITONBACKEND_BackendArtifacts(backend, &artifact_type, &folder));
  check(TRITONBACKEND_ModelConfig(model, 1, &config));
  check(TRITONSERVER_MessageSerializeToJson(config, &json, &json_size));
  model_name_ = model_name;
  device_ = device;
  const char* python = std::getenv(kPythonVariable);
  if (python == nullptr)
    throw Failure(kErrorInternal, std::string(kPythonVariable) + " is not set; use photofinish serve");
  // The names that Triton's Python backend gives to `initialize`.
  Arguments arguments = {{"model_config", std::string(json, json_size)},
                         {"model_instance_kind", kind == kKindGpu ? "GPU" : "CPU"},
                         {"model_instance_name", name},
                         {"model_instance_device_id", std::to_string(device)},
                         {"model_repository", repository},
                         {"model_version", std::to_string(version)},
                         {"model_name", model_name_},
                         // Beside what Triton gives: how the process survives memory that a client takes away.
                         {"guard_library", std::string(folder) + kGuard}};
  ignore(TRITONSERVER_MessageDelete(config));
  const char* grouped = std::getenv(kGroupVariable);
  const std::string group = grouped == nullptr || std::strcmp(grouped, "1") != 0 ? ""
                            : (kind == kKindGpu ? "group-cuda-" : "group-cpu-") + std::to_string(device);
  blame_ = shared_blame(model_name_);
  keeper_ = std::make_unique<Keeper>(
      model_name_, name, group, std::move(arguments), shared_spares(python, std::string(folder) + kScript),
      Keeper::Hooks{[this](ModelProcess* process) { adopt(process); },
                    [](bool is_bad, const std::string& news) { say(is_bad ? kLogError : kLogWarning, news); }});
  const auto lock = keeper_->lock();
  if (slots_ > 1) answers_ = started_thread("send the answers of " + model_name_, [this] { answer_in_order(); });
}

// Triton lets go of an instance when all its requests are answered; the thread may have a step left.
Instance::~Instance() {
  {
    const std::lock_guard<std::mutex> lock(queue_mutex_);
    is_ending_ = true;
  }
  queue_changed_.notify_all();
  if (answers_.joinable()) answers_.join();
}

// From now on this process serves; nullptr: none does.
void Instance::adopt(ModelProcess* process) {
  gauges_.reset();
  batch_addresses_ = {};
  gpu_.reset();
  if (process == nullptr) return;
  slots_ = process->layout().slots;
  gauges_ = std::make_unique<Gauges>(model_name_, *process);
}

GpuCopies& Instance::gpu(const ModelProcess& process) {
  if (!gpu_) {
    auto copies = std::make_unique<GpuCopies>(device_);
    for (size_t slot = 0; slot < kMaxSlots; ++slot)
      for (size_t index = 0; index < kMaxTensors; ++index)
        if (const SharedBuffer& buffer = process.layout().input_buffers[slot][index]; !buffer.handle.empty())
          batch_addresses_[slot][index] = copies->open(buffer.handle) + buffer.offset;
    gpu_ = std::move(copies);
  }
  return *gpu_;
}

void Instance::execute(TRITONBACKEND_Request** requests, uint32_t count) {
  std::vector<Job> left(count);
  for (uint32_t i = 0; i < count; ++i) left[i].request = requests[i];
  while (!left.empty()) {
    wait_for_slot(false);
    Round round;
    round.jobs.swap(left);
    ask(round, &left);
    if (round.placed > 0 && round.process->layout().slots > 1 && answers_.joinable()) {
      queue(std::move(round));
      continue;
    }
    wait(round, round.asked_ns);
    const uint64_t computed_ns = now_ns();
    fill_responses(round);
    send(round, round.asked_ns, computed_ns);
  }
  wait_for_slot(true);
}

// Wait until another round can be asked. `is_for_more`: also until shortly before the end of the one that runs, since
// whoever sends a request until then is executed with the others.
void Instance::wait_for_slot(bool is_for_more) {
  std::unique_lock<std::mutex> lock(queue_mutex_);
  while (!queue_.empty()) {
    if (is_mending_ || queue_.size() >= kMaxSlots) {
      queue_changed_.wait(lock);
      continue;
    }
    const Round& running = queue_.front();
    if (!is_for_more || !running.process) return;
    const uint64_t usual_ns = running.process->usual_ns(running.rows), now = now_ns();
    const uint64_t due_ns = running_since_ns_ + usual_ns - std::min(usual_ns / 2, kMaxLeadNs);
    if (now >= due_ns) return;
    queue_changed_.wait_for(lock, std::chrono::nanoseconds(due_ns - now));
  }
}

// Have those of the round's jobs executed that have not failed, by the process that serves now. Jobs for which there is
// no room go to `left`.
void Instance::ask(Round& round, std::vector<Job>* left) {
  auto lock = keeper_->lock();
  std::string why;
  round.process = keeper_->process(lock, why);
  round.executed_ns = round.asked_ns = now_ns();
  round.placed = round.rows = 0;
  if (!round.process) {
    for (Job& job : round.jobs)
      if (!job.has_failed) job.fail(kErrorUnavailable, why);
    return;
  }
  round.number = round.process->next();
  place_requests(round, left);
  round.asked_ns = now_ns();
  if (round.placed > 0) round.process->ask(round.placed);
}

// Write as many requests as there is room for into the slot of the next execution.
void Instance::place_requests(Round& round, std::vector<Job>* left) {
  Request* slots = round.process->requests(round.number);
  uint64_t used = 0;
  size_t seen = 0;
  for (; seen < round.jobs.size() && round.placed < kMaxRequests; ++seen) {
    Job& job = round.jobs[seen];
    if (job.has_failed) continue;
    try {
      place(job, round, slots[round.placed], used);
      round.rows += job.rows;
      ++round.placed;
    } catch (const NoRoom&) {
      if (round.placed > 0) break;
      job.fail(kErrorInvalidArgument, model_name_ + ": a request of this size does not fit into the memory for requests");
    } catch (const Failure& failure) {
      job.fail(failure.code, failure.what());
    } catch (const std::runtime_error& error) {
      job.fail(kErrorInternal, model_name_ + " failed on this request: " + error.what());
    }
  }
  if (left != nullptr) {
    left->assign(round.jobs.begin() + static_cast<std::ptrdiff_t>(seen), round.jobs.end());
    round.jobs.resize(seen);
  }
  // Asked for the second time they had room the first time.
  for (; seen < round.jobs.size(); ++seen)
    if (!round.jobs[seen].has_failed)
      round.jobs[seen].fail(kErrorUnavailable, model_name_ + ": a model process ended; try again");
}

void Instance::place(Job& job, const Round& round, Request& slot, uint64_t& used) {
  slot.failed = 0;
  slot.error[0] = '\0';
  const ModelLayout& layout = round.process->layout();
  for (size_t index = 0; index < layout.inputs.size(); ++index) place_input(job, round, index, slot.inputs[index], used);
  if (!blame_->is_empty())
    if (const std::string shape = shape_of(layout, slot); blame_->refuses(shape))
      throw Failure(kErrorInvalidArgument, model_name_ + " ended twice on requests of the shape " + shape +
                                               ", which are refused for a minute; the server's log has the cause");
  const bool is_batched = layout.is_batched && slot.inputs[0].dims_count > 0;
  if (is_batched && slot.inputs[0].dims[0] == 0)
    throw Failure(kErrorInvalidArgument, model_name_ + ": a request holds at least one picture, this one holds none");
  job.rows = is_batched ? static_cast<uint32_t>(slot.inputs[0].dims[0]) : 1;
}

void Instance::place_input(const Job& job, const Round& round, size_t index, Tensor& tensor, uint64_t& used) {
  const ModelLayout& layout = round.process->layout();
  const TensorSpec& spec = layout.inputs[index];
  TRITONBACKEND_Input* input = nullptr;
  const int64_t* shape = nullptr;
  uint32_t dims_count = 0, buffer_count = 0;
  int datatype = 0;
  check(TRITONBACKEND_RequestInput(job.request, spec.name.c_str(), &input));
  check(TRITONBACKEND_InputProperties(input, nullptr, &datatype, &shape, &dims_count, &tensor.byte_size, &buffer_count));
  if (dims_count > kMaxDims) throw Failure(kErrorInvalidArgument, spec.name + " has too many dimensions");
  const uint64_t expected = bytes_of_shape("input '" + spec.name + "'", datatype, shape, dims_count);
  tensor.dims_count = dims_count;
  std::copy(shape, shape + dims_count, tensor.dims);
  if (datatype != spec.datatype || expected != tensor.byte_size)
    throw Failure(kErrorInvalidArgument, "input '" + spec.name + "' of " + model_name_ + " holds " +
                                             std::to_string(tensor.byte_size) + " bytes, its shape asks for " +
                                             std::to_string(expected));

  const uint64_t row_bytes = dims_count > 0 && shape[0] > 0 ? expected / static_cast<uint64_t>(shape[0]) : expected;
  const uint64_t batch_offset = layout.is_batched ? round.rows * row_bytes : 0;
  tensor.place = kInLane;
  tensor.offset = round.process->staging_offset(round.number) + used;
  uint8_t* target = round.process->memory() + tensor.offset;
  uint64_t filled = 0;
  Copying copying;
  for (uint32_t i = 0; i < buffer_count; ++i) {
    const void* source = nullptr;
    uint64_t size = 0;
    int memory_type = kMemoryCpu;
    int64_t memory_id = 0;
    check(TRITONBACKEND_InputBuffer(input, i, &source, &size, &memory_type, &memory_id));
    if (size > tensor.byte_size - filled) throw Failure(kErrorInvalidArgument, spec.name + " is longer than it says");
    const bool may_stay = layout.reads_regions && layout.inputs.size() == 1 && buffer_count == 1 && size == expected;
    if (may_stay && memory_type != kMemoryGpu && read_in_place(job, source, tensor)) return;
    if (used > layout.staging_size || tensor.byte_size > layout.staging_size - used) throw NoRoom();
    if (memory_type != kMemoryGpu) {
      if (!copy_guarded(target + filled, source, size))
        throw Failure(kErrorInvalidArgument, "input '" + spec.name + "' of " + model_name_ + kShrunk);
    } else if (GpuCopies& copies = copying.by(gpu(*round.process));
               batch_address(round, index) != 0 && buffer_count == 1) {
      copies.to_gpu(batch_address(round, index) + batch_offset, source, size);
      tensor.place = kInBatch;
      tensor.offset = batch_offset;
    } else {
      copies.to_host(target + filled, source, size);
    }
    filled += size;
  }
  if (filled != tensor.byte_size) throw Failure(kErrorInvalidArgument, spec.name + " is shorter than it says");
  copying.finish();
  if (tensor.place == kInLane) used += (tensor.byte_size + kAlignment - 1) / kAlignment * kAlignment;
}

// Point at the client's own memory when the request names what lies at `source`, and it can be had.
bool Instance::read_in_place(const Job& job, const void* source, Tensor& tensor) {
  if (tensor.byte_size == 0) return false;
  uint32_t count = 0;
  ignore(TRITONBACKEND_RequestParameterCount(job.request, &count));
  for (uint32_t i = 0; i < count; ++i) {
    const char* key = nullptr;
    const void* value = nullptr;
    int type = 0;
    check(TRITONBACKEND_RequestParameter(job.request, i, &key, &type, &value));
    if (type != kParameterString || std::strcmp(key, kRegionParameter) != 0) continue;
    const auto place = regions_->find(static_cast<const char*>(value), source, tensor.byte_size);
    if (!place) {
      if (!has_told_of_regions_) say(kLogWarning, model_name_ + kNoRegion);
      has_told_of_regions_ = true;
      return false;
    }
    tensor.place = kInRegion;
    tensor.offset = place->offset;
    tensor.region = static_cast<uint64_t>(place->file);
    tensor.inode = place->inode;
    return true;
  }
  return false;
}

// The round was asked: hand it to the thread that answers.
void Instance::queue(Round round) {
  {
    const std::lock_guard<std::mutex> lock(queue_mutex_);
    if (queue_.empty()) running_since_ns_ = std::max(round.asked_ns, computed_ns_);
    is_mending_ = is_mending_ || has_ended(round);
    queue_.push_back(std::move(round));
  }
  queue_changed_.notify_all();
}

// Wait for one round after the other and send its answers. A process that ends does so by the oldest round, as far as
// anybody can know; what stood behind it is asked again.
void Instance::answer_in_order() {
  std::unique_lock<std::mutex> lock(queue_mutex_);
  while (true) {
    queue_changed_.wait(lock, [this] { return is_ending_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Round& round = queue_.front();  // it stays where it is while others come
    const bool is_left_behind = has_ended(round);
    lock.unlock();
    if (is_left_behind) ask(round, nullptr);
    lock.lock();
    if (is_left_behind) running_since_ns_ = round.asked_ns;
    is_mending_ = false;
    const uint64_t since_ns = running_since_ns_;
    lock.unlock();
    queue_changed_.notify_all();

    const bool is_answered = wait(round, since_ns);
    const uint64_t computed_ns = now_ns();
    fill_responses(round);
    lock.lock();
    Round done = std::move(round);
    queue_.pop_front();
    if (!is_answered) {
      ended_ = done.process;
      is_mending_ = !queue_.empty();
    }
    computed_ns_ = computed_ns;
    if (!queue_.empty()) running_since_ns_ = std::max(queue_.front().asked_ns, computed_ns);
    lock.unlock();
    queue_changed_.notify_all();
    send(done, since_ns, computed_ns);
    done = Round();  // a process that has ended goes with it
    lock.lock();
  }
}

// Whether a round before this one ended its process.
bool Instance::has_ended(const Round& round) const {
  return round.process && !ended_.owner_before(round.process) && !round.process.owner_before(ended_);
}

// Wait for the outputs of a round, which could begin at `since_ns`. False when its process ended: its jobs have failed.
bool Instance::wait(Round& round, uint64_t since_ns) {
  if (round.placed == 0) return true;
  try {
    round.process->wait(round.number, round.rows, since_ns);
    keeper_->worked();
    if (!blame_->is_empty()) blame(round, false);
    return true;
  } catch (const ProcessError& error) {
    if (!round.process->is_bystander()) blame(round, true);
    // Not "unavailable", which is sent again by itself here and there: it may have been this request.
    for (Job& job : round.jobs)
      if (!job.has_failed)
        job.fail(kErrorInternal,
                 model_name_ + ": a model process ended; it is starting again (" + error.what() + ")");
    const auto lock = keeper_->lock();
    keeper_->lost(*round.process, error.what());
    return false;
  }
}

void Instance::fill_responses(Round& round) {
  static const Request none{};
  const Request* slot = round.placed > 0 ? round.process->requests(round.number) : &none;
  for (Job& job : round.jobs) fill_response(job, round.process.get(), job.has_failed ? none : *slot++);
}

// Send the answers of a round that could begin at `since_ns`, and let go of its requests.
void Instance::send(Round& round, uint64_t since_ns, uint64_t computed_ns) {
  uint64_t begun_ns = since_ns;
  if (round.placed > 0) {
    // What the copies took belongs to Triton's input and output times.
    const Slot& figures = round.process->figures(round.number);
    const uint64_t spent = computed_ns - begun_ns, input = figures.input_ns, output = figures.output_ns;
    if (input < spent && output < spent - input) begun_ns += input, computed_ns -= output;
  }
  // To wait while another round runs is to queue.
  const uint64_t executed_ns = round.executed_ns + (since_ns - round.asked_ns), ended_ns = now_ns();
  uint32_t rows = 0;
  for (Job& job : round.jobs) {
    rows += job.has_failed ? 0 : job.rows;
    send(job);
  }
  if (rows > 0)
    ignore(TRITONBACKEND_ModelInstanceReportBatchStatistics(instance_, rows, executed_ns, begun_ns, computed_ns,
                                                            ended_ns));
  for (Job& job : round.jobs) {
    ignore(TRITONBACKEND_ModelInstanceReportStatistics(instance_, job.request, !job.has_failed, executed_ns, begun_ns,
                                                       computed_ns, ended_ns));
    ignore(TRITONBACKEND_RequestRelease(job.request, kReleaseAll));
  }
}

// What a model process wrote of its answer is believed only where the lane can hold it.
void Instance::check_answer(const ModelProcess& process, const Tensor& tensor, const TensorSpec& spec) const {
  const uint64_t room = process.layout().byte_size;
  if (tensor.place != kInLane || tensor.dims_count > kMaxDims || tensor.offset > room ||
      tensor.byte_size > room - tensor.offset ||
      bytes_of_shape("output '" + spec.name + "'", spec.datatype, tensor.dims, tensor.dims_count) != tensor.byte_size)
    throw Failure(kErrorInternal, model_name_ + ": its model process gave no answer that can be read");
}

// The shapes of this round ended their process, or did not. However many requests have one, it did so once.
void Instance::blame(const Round& round, bool has_ended) {
  std::set<std::string> shapes;
  const Request* requests = round.process->requests(round.number);
  for (uint32_t i = 0; i < round.placed; ++i) shapes.insert(shape_of(round.process->layout(), requests[i]));
  for (const std::string& shape : shapes) has_ended ? blame_->ended(shape) : blame_->answered(shape);
}

// Make the response of one request and copy its outputs into it; the error that it gets instead stays in the job.
void Instance::fill_response(Job& job, ModelProcess* process, const Request& slot) {
  try {
    check(TRITONBACKEND_ResponseNew(&job.response, job.request));
    if (job.has_failed) return;
    if (slot.failed) throw Failure(kErrorInternal, std::string(slot.error, strnlen(slot.error, kErrorBytes)));
    const auto& outputs = process->layout().outputs;
    uint32_t wanted = 0;
    check(TRITONBACKEND_RequestOutputCount(job.request, &wanted));
    for (uint32_t i = 0; i < wanted; ++i) {
      const char* name = nullptr;
      check(TRITONBACKEND_RequestOutputName(job.request, i, &name));
      for (size_t index = 0; index < outputs.size(); ++index) {
        if (outputs[index].name != name) continue;
        const Tensor tensor = slot.outputs[index];
        check_answer(*process, tensor, outputs[index]);
        TRITONBACKEND_Output* output = nullptr;
        void* buffer = nullptr;
        int memory_type = kMemoryCpu;
        int64_t memory_id = 0;
        check(TRITONBACKEND_ResponseOutput(job.response, &output, name, outputs[index].datatype, tensor.dims,
                                           tensor.dims_count));
        check(TRITONBACKEND_OutputBuffer(output, &buffer, tensor.byte_size, &memory_type, &memory_id));
        const uint8_t* source = process->memory() + tensor.offset;
        if (memory_type != kMemoryGpu) {
          if (!copy_guarded(buffer, source, tensor.byte_size))
            throw Failure(kErrorInvalidArgument, "output '" + outputs[index].name + "' of " + model_name_ + kShrunk);
        } else {
          if (!answer_gpu_) answer_gpu_ = std::make_unique<GpuCopies>(device_);
          answer_gpu_->from_host(buffer, source, tensor.byte_size);
          answer_gpu_->finish();
        }
      }
    }
  } catch (const Failure& failure) {
    job.fail(failure.code, failure.what());
  } catch (const std::runtime_error& failure) {
    job.fail(kErrorInternal, failure.what());
  }
}

void Instance::send(Job& job) {
  if (job.response == nullptr) return;
  TRITONSERVER_Error* error = job.has_failed ? TRITONSERVER_ErrorNew(job.code, job.error.c_str()) : nullptr;
  ignore(TRITONBACKEND_ResponseSend(job.response, kResponseFinal, error));
  ignore(error);
}

}  // namespace
}  // namespace photofinish

using photofinish::Instance;

#define EXPORTED extern "C" __attribute__((visibility("default"))) TRITONSERVER_Error*

EXPORTED TRITONBACKEND_Initialize(TRITONBACKEND_Backend*) {
  uint32_t major = 0, minor = 0;
  if (TRITONSERVER_Error* error = TRITONBACKEND_ApiVersion(&major, &minor)) return error;
  if (major == kApiMajor && minor >= kApiMinor) return nullptr;
  return TRITONSERVER_ErrorNew(kErrorInternal, "this Triton is older than Photofinish's bridge needs");
}

// Engines load for seconds, each in a process of its own: the instances of a model need not wait for each other.
EXPORTED TRITONBACKEND_GetBackendAttribute(TRITONBACKEND_Backend*, TRITONBACKEND_BackendAttribute* attributes) {
  return TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(attributes, true);
}

EXPORTED TRITONBACKEND_ModelInstanceInitialize(TRITONBACKEND_ModelInstance* instance) {
  try {
    auto state = std::make_unique<Instance>(instance);
    return TRITONBACKEND_ModelInstanceSetState(instance, state.release());
  } catch (const photofinish::ProcessError& refusal) {
    return TRITONSERVER_ErrorNew(kErrorInvalidArgument, refusal.what());
  } catch (const std::exception& error) {
    return TRITONSERVER_ErrorNew(kErrorInternal, error.what());
  }
}

EXPORTED TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance* instance) {
  void* state = nullptr;
  if (TRITONSERVER_Error* error = TRITONBACKEND_ModelInstanceState(instance, &state)) return error;
  delete static_cast<Instance*>(state);
  return nullptr;
}

EXPORTED TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance* instance, TRITONBACKEND_Request** requests,
                                            const uint32_t count) {
  void* state = nullptr;
  if (TRITONSERVER_Error* error = TRITONBACKEND_ModelInstanceState(instance, &state)) return error;
  static_cast<Instance*>(state)->execute(requests, count);
  return nullptr;
}
