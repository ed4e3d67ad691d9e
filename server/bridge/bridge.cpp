// A Triton backend that hands every execution to a model process of its own, by memory that both share.
//
// It stands in for Triton's Python backend, which copies every picture into its own shared memory and needs several
// hops between the processes. Here a picture that lies in a client's region is not copied at all, any other once, and
// there is one hop each way. What runs a model is the same Python as there, a process for each instance: its memory on
// the GPU can be told apart, and a crash takes no other model along.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "blame.h"
#include "clock.h"
#include "gpu_copies.h"
#include "guard.h"
#include "keeper.h"
#include "model_process.h"
#include "regions.h"
#include "triton_api.h"

namespace photofinish {
namespace {

constexpr char kRegionParameter[] = "photofinish_region";
constexpr char kPythonVariable[] = "PHOTOFINISH_PYTHON";
constexpr char kGuard[] = "/libphotofinish_guard.so";
constexpr char kScript[] = "/photofinish_backend/lane/process.py";
constexpr char kShrunk[] =
    " lies in shared memory that is shorter than the request says; register it with the size that it has";
constexpr char kNoRegion[] =
    ": a client's shared memory cannot be read where it is (another user's or container's, or an odd offset in it?); "
    "its pictures are copied once";
constexpr uint64_t kAlignment = 256;

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

// The memory figures of one instance as Prometheus gauges, for as long as it lives.
class Gauges {
 public:
  Gauges(const std::string& model, const ModelProcess& process) {
    const std::string instance = std::to_string(process.pid());
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
};

class Instance {
 public:
  explicit Instance(TRITONBACKEND_ModelInstance* instance);
  void execute(TRITONBACKEND_Request** requests, uint32_t count);

 private:
  void adopt(ModelProcess* process);
  uint32_t place_requests(std::vector<Job>& jobs, uint32_t first);
  void place(Job& job, Request& slot, uint64_t& used, uint32_t rows_before);
  void place_input(const Job& job, size_t index, Tensor& tensor, uint64_t& used, uint32_t rows_before);
  bool read_in_place(const Job& job, const void* source, Tensor& tensor);
  void run(std::vector<Job>& jobs, uint32_t first, uint32_t count, bool is_served);
  void check_answer(const Tensor& tensor, const TensorSpec& spec);
  std::string shape_of(const Request& slot) const;
  void blame(uint32_t slots, bool has_ended);
  void fill_response(Job& job, const Request& slot);
  void send(Job& job);
  GpuCopies& gpu();

  TRITONBACKEND_ModelInstance* instance_;
  std::string model_name_;
  int device_ = 0;
  ModelProcess* process_ = nullptr;
  std::unique_ptr<Gauges> gauges_;
  std::unique_ptr<GpuCopies> gpu_;
  std::shared_ptr<Regions> regions_ = shared_regions();
  std::vector<uint64_t> batch_addresses_;  // of the model process's input buffers on the GPU, once opened
  bool has_told_of_regions_ = false;
  uint64_t executed_ns_ = 0;  // this round of requests
  std::shared_ptr<Blame> blame_;
  std::unique_ptr<Keeper> keeper_;  // ends before what it calls
};

// The staging area has no room left for this request in this round.
struct NoRoom {};

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
  blame_ = shared_blame(model_name_);
  keeper_ = std::make_unique<Keeper>(
      model_name_, name, std::move(arguments), shared_spares(python, std::string(folder) + kScript),
      Keeper::Hooks{[this](ModelProcess* process) { adopt(process); },
                    [](bool is_bad, const std::string& news) { say(is_bad ? kLogError : kLogWarning, news); }});
}

// From now on this process serves; nullptr: none does.
void Instance::adopt(ModelProcess* process) {
  gauges_.reset();
  batch_addresses_.clear();
  gpu_.reset();
  process_ = process;
  if (process != nullptr) gauges_ = std::make_unique<Gauges>(model_name_, *process);
}

GpuCopies& Instance::gpu() {
  if (!gpu_) {
    gpu_ = std::make_unique<GpuCopies>(device_);
    for (const SharedBuffer& buffer : process_->layout().input_buffers)
      batch_addresses_.push_back(buffer.handle.empty() ? 0 : gpu_->open(buffer.handle) + buffer.offset);
  }
  return *gpu_;
}

void Instance::execute(TRITONBACKEND_Request** requests, uint32_t count) {
  std::vector<Job> jobs(count);
  for (uint32_t i = 0; i < count; ++i) jobs[i].request = requests[i];
  auto lock = keeper_->lock();
  for (uint32_t first = 0; first < count;) {
    uint32_t taken = count - first;
    std::string why;
    const bool is_served = keeper_->process(lock, why) != nullptr;
    executed_ns_ = now_ns();
    if (is_served) {
      taken = place_requests(jobs, first);
    } else {
      for (uint32_t i = first; i < count; ++i) {
        jobs[i].has_failed = true;
        jobs[i].code = kErrorUnavailable;
        jobs[i].error = why;
      }
    }
    run(jobs, first, taken, is_served);
    first += taken;
  }
}

// Write as many requests as there is room for into the lane; how many they are.
uint32_t Instance::place_requests(std::vector<Job>& jobs, uint32_t first) {
  Lane& lane = process_->lane();
  uint64_t used = 0;
  uint32_t rows = 0, placed = 0, seen = first;
  for (; seen < jobs.size() && placed < kMaxRequests; ++seen) {
    Job& job = jobs[seen];
    try {
      place(job, lane.requests[placed], used, rows);
      rows += job.rows;
      ++placed;
    } catch (const NoRoom&) {
      if (placed > 0) break;
      job.has_failed = true;
      job.code = kErrorInvalidArgument;
      job.error = model_name_ + ": a request of this size does not fit into the memory for requests";
    } catch (const Failure& failure) {
      job.has_failed = true;
      job.code = failure.code;
      job.error = failure.what();
    } catch (const std::runtime_error& error) {
      job.has_failed = true;
      job.error = model_name_ + " failed on this request: " + error.what();
    }
  }
  lane.request_count = placed;
  return seen - first;
}

void Instance::place(Job& job, Request& slot, uint64_t& used, uint32_t rows_before) {
  slot.failed = 0;
  slot.error[0] = '\0';
  const size_t count = process_->layout().inputs.size();
  for (size_t index = 0; index < count; ++index) place_input(job, index, slot.inputs[index], used, rows_before);
  if (!blame_->is_empty())
    if (const std::string shape = shape_of(slot); blame_->refuses(shape))
      throw Failure(kErrorInvalidArgument, model_name_ + " ended twice on requests of the shape " + shape +
                                               ", which are refused for a minute; the server's log has the cause");
  const bool is_batched = process_->layout().is_batched && slot.inputs[0].dims_count > 0;
  if (is_batched && slot.inputs[0].dims[0] == 0)
    throw Failure(kErrorInvalidArgument, model_name_ + ": a request holds at least one picture, this one holds none");
  job.rows = is_batched ? static_cast<uint32_t>(slot.inputs[0].dims[0]) : 1;
}

void Instance::place_input(const Job& job, size_t index, Tensor& tensor, uint64_t& used, uint32_t rows_before) {
  const ModelLayout& layout = process_->layout();
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
  const uint64_t batch_offset = layout.is_batched ? rows_before * row_bytes : 0;
  tensor.place = kInLane;
  tensor.offset = layout.staging_offset + used;
  uint8_t* target = process_->memory() + tensor.offset;
  uint64_t filled = 0;
  bool is_copying = false;
  for (uint32_t i = 0; i < buffer_count; ++i) {
    const void* source = nullptr;
    uint64_t size = 0;
    int memory_type = kMemoryCpu;
    int64_t memory_id = 0;
    check(TRITONBACKEND_InputBuffer(input, i, &source, &size, &memory_type, &memory_id));
    if (size > tensor.byte_size - filled) throw Failure(kErrorInvalidArgument, spec.name + " is longer than it says");
    const bool may_stay = layout.reads_regions && layout.inputs.size() == 1 && buffer_count == 1 && size == expected;
    if (may_stay && memory_type != kMemoryGpu && read_in_place(job, source, tensor)) return;
    if (used + tensor.byte_size > layout.staging_size) throw NoRoom();
    if (memory_type != kMemoryGpu) {
      if (!copy_guarded(target + filled, source, size))
        throw Failure(kErrorInvalidArgument, "input '" + spec.name + "' of " + model_name_ + kShrunk);
    } else if (GpuCopies& copies = gpu(); batch_addresses_[index] != 0 && buffer_count == 1) {
      copies.to_gpu(batch_addresses_[index] + batch_offset, source, size);
      tensor.place = kInBatch;
      tensor.offset = batch_offset;
      is_copying = true;
    } else {
      copies.to_host(target + filled, source, size);
      is_copying = true;
    }
    filled += size;
  }
  if (filled != tensor.byte_size) throw Failure(kErrorInvalidArgument, spec.name + " is shorter than it says");
  if (is_copying) gpu_->finish();
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

// Run what stands in the lane, answer every request of this round, and let go of them.
void Instance::run(std::vector<Job>& jobs, uint32_t first, uint32_t count, bool is_served) {
  uint64_t begun = now_ns(), computed = begun;
  uint32_t rows = 0;
  for (uint32_t i = first; i < first + count; ++i) rows += jobs[i].has_failed ? 0 : jobs[i].rows;
  if (const uint32_t slots = is_served ? std::min(process_->lane().request_count, kMaxRequests) : 0; slots > 0) {
    try {
      process_->run(rows);
      computed = now_ns();
      keeper_->worked();
      if (!blame_->is_empty()) blame(slots, false);
      // What the copies took belongs to Triton's input and output times.
      const uint64_t spent = computed - begun, input = process_->lane().input_ns, output = process_->lane().output_ns;
      if (input + output < spent) begun += input, computed -= output;
    } catch (const ProcessError& error) {
      blame(slots, true);
      for (uint32_t i = first; i < first + count; ++i) {
        if (jobs[i].has_failed) continue;
        jobs[i].has_failed = true;
        // Not "unavailable", which is sent again by itself here and there: it may have been this request.
        jobs[i].code = kErrorInternal;
        jobs[i].error = model_name_ + ": a model process ended; it is starting again (" + error.what() + ")";
      }
      keeper_->lost(error.what());
    }
  }
  uint32_t slot = 0;
  rows = 0;
  for (uint32_t i = first; i < first + count; ++i) {
    static const Request none{};
    const bool has_slot = !jobs[i].has_failed;
    fill_response(jobs[i], has_slot ? process_->lane().requests[slot] : none);
    slot += has_slot;
    rows += jobs[i].has_failed ? 0 : jobs[i].rows;
  }
  const uint64_t ended = now_ns();
  for (uint32_t i = first; i < first + count; ++i) send(jobs[i]);
  for (uint32_t i = first; i < first + count; ++i) {
    ignore(TRITONBACKEND_ModelInstanceReportStatistics(instance_, jobs[i].request, !jobs[i].has_failed, executed_ns_,
                                                       begun, computed, ended));
    ignore(TRITONBACKEND_RequestRelease(jobs[i].request, kReleaseAll));
  }
  if (rows > 0)
    ignore(TRITONBACKEND_ModelInstanceReportBatchStatistics(instance_, rows, executed_ns_, begun, computed, ended));
}

// What a model process wrote of its answer is believed only where the lane can hold it.
void Instance::check_answer(const Tensor& tensor, const TensorSpec& spec) {
  const uint64_t room = process_->layout().byte_size;
  if (tensor.place != kInLane || tensor.dims_count > kMaxDims || tensor.offset > room ||
      tensor.byte_size > room - tensor.offset ||
      bytes_of_shape("output '" + spec.name + "'", spec.datatype, tensor.dims, tensor.dims_count) != tensor.byte_size)
    throw Failure(kErrorInternal, model_name_ + ": its model process gave no answer that can be read");
}

// What a request of this model asks for, as far as its shapes tell.
std::string Instance::shape_of(const Request& slot) const {
  std::string text;
  const auto& inputs = process_->layout().inputs;
  for (size_t index = 0; index < inputs.size(); ++index) {
    const Tensor& tensor = slot.inputs[index];
    text += (index > 0 ? ", " : "") + inputs[index].name + " [";
    // Its model process may have written there before it ended.
    const uint32_t count = std::min(tensor.dims_count, kMaxDims);
    for (uint32_t i = 0; i < count; ++i) text += (i > 0 ? ", " : "") + std::to_string(tensor.dims[i]);
    text += "]";
  }
  return text;
}

// The shapes of this execution ended their process, or did not. However many requests have one, it did so once.
void Instance::blame(uint32_t slots, bool has_ended) {
  std::set<std::string> shapes;
  for (uint32_t i = 0; i < slots; ++i) shapes.insert(shape_of(process_->lane().requests[i]));
  for (const std::string& shape : shapes) has_ended ? blame_->ended(shape) : blame_->answered(shape);
}

// Make the response of one request and copy its outputs into it; the error that it gets instead stays in the job.
void Instance::fill_response(Job& job, const Request& slot) {
  try {
    check(TRITONBACKEND_ResponseNew(&job.response, job.request));
    if (job.has_failed) return;
    if (slot.failed) throw Failure(kErrorInternal, std::string(slot.error, strnlen(slot.error, kErrorBytes)));
    const auto& outputs = process_->layout().outputs;
    uint32_t wanted = 0;
    check(TRITONBACKEND_RequestOutputCount(job.request, &wanted));
    for (uint32_t i = 0; i < wanted; ++i) {
      const char* name = nullptr;
      check(TRITONBACKEND_RequestOutputName(job.request, i, &name));
      for (size_t index = 0; index < outputs.size(); ++index) {
        if (outputs[index].name != name) continue;
        const Tensor tensor = slot.outputs[index];
        check_answer(tensor, outputs[index]);
        TRITONBACKEND_Output* output = nullptr;
        void* buffer = nullptr;
        int memory_type = kMemoryCpu;
        int64_t memory_id = 0;
        check(TRITONBACKEND_ResponseOutput(job.response, &output, name, outputs[index].datatype, tensor.dims,
                                           tensor.dims_count));
        check(TRITONBACKEND_OutputBuffer(output, &buffer, tensor.byte_size, &memory_type, &memory_id));
        const uint8_t* source = process_->memory() + tensor.offset;
        if (memory_type != kMemoryGpu) {
          if (!copy_guarded(buffer, source, tensor.byte_size))
            throw Failure(kErrorInvalidArgument, "output '" + outputs[index].name + "' of " + model_name_ + kShrunk);
        } else {
          gpu().from_host(buffer, source, tensor.byte_size);
          gpu().finish();
        }
      }
    }
  } catch (const Failure& failure) {
    job.has_failed = true;
    job.code = failure.code;
    job.error = failure.what();
  } catch (const std::runtime_error& failure) {
    job.has_failed = true;
    job.error = failure.what();
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
