#include "fake_triton.h"

#include <condition_variable>
#include <cstdio>
#include <map>
#include <mutex>

namespace {

struct Sent {
  TRITONBACKEND_Request* request;
};
std::mutex mutex;  // for all that follows, and for what becomes of requests
std::condition_variable released;
int disordered = 0;
uint64_t computed_until_ns = 0;

std::map<TRITONBACKEND_Response*, Sent>& open_responses() {
  static std::map<TRITONBACKEND_Response*, Sent> all;
  return all;
}

}  // namespace

void wait_until_released(const TRITONBACKEND_Request& request) {
  std::unique_lock<std::mutex> lock(mutex);
  released.wait(lock, [&request] { return request.releases > 0; });
}

int disordered_reports() {
  const std::lock_guard<std::mutex> lock(mutex);
  return disordered;
}

extern "C" {

TRITONSERVER_Error* TRITONSERVER_ErrorNew(int code, const char* text) { return new TRITONSERVER_Error{code, text}; }
void TRITONSERVER_ErrorDelete(TRITONSERVER_Error* error) { delete error; }
const char* TRITONSERVER_ErrorMessage(TRITONSERVER_Error* error) { return error->text.c_str(); }
TRITONSERVER_Error* TRITONSERVER_LogMessage(int, const char*, int, const char* text) {
  std::fprintf(stderr, "log: %s\n", text);
  return nullptr;
}
TRITONSERVER_Error* TRITONSERVER_MessageSerializeToJson(TRITONSERVER_Message* message, const char** base,
                                                        size_t* size) {
  *base = message->json.data();
  *size = message->json.size();
  return nullptr;
}
TRITONSERVER_Error* TRITONSERVER_MessageDelete(TRITONSERVER_Message* message) {
  delete message;
  return nullptr;
}
uint32_t TRITONSERVER_DataTypeByteSize(int datatype) {
  constexpr uint32_t kSizes[] = {0, 1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8, 0, 2};
  return datatype >= 0 && datatype < 15 ? kSizes[datatype] : 0;
}

TRITONSERVER_Parameter* TRITONSERVER_ParameterNew(const char*, int, const void*) { return new TRITONSERVER_Parameter; }
void TRITONSERVER_ParameterDelete(TRITONSERVER_Parameter* parameter) { delete parameter; }
TRITONSERVER_Error* TRITONSERVER_MetricFamilyNew(TRITONSERVER_MetricFamily** family, int, const char*, const char*) {
  *family = new TRITONSERVER_MetricFamily;
  return nullptr;
}
TRITONSERVER_Error* TRITONSERVER_MetricFamilyDelete(TRITONSERVER_MetricFamily* family) {
  delete family;
  return nullptr;
}
TRITONSERVER_Error* TRITONSERVER_MetricNew(TRITONSERVER_Metric** metric, TRITONSERVER_MetricFamily*,
                                           const TRITONSERVER_Parameter**, uint64_t) {
  *metric = new TRITONSERVER_Metric;
  return nullptr;
}
TRITONSERVER_Error* TRITONSERVER_MetricDelete(TRITONSERVER_Metric* metric) {
  delete metric;
  return nullptr;
}
TRITONSERVER_Error* TRITONSERVER_MetricSet(TRITONSERVER_Metric*, double) { return nullptr; }

TRITONSERVER_Error* TRITONBACKEND_ApiVersion(uint32_t* major, uint32_t* minor) {
  *major = kApiMajor;
  *minor = kApiMinor;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(TRITONBACKEND_BackendAttribute*,
                                                                                  bool) {
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_BackendArtifacts(TRITONBACKEND_Backend* backend, int* type, const char** location) {
  *type = 0;
  *location = backend->folder.c_str();
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelBackend(TRITONBACKEND_Model* model, TRITONBACKEND_Backend** backend) {
  *backend = model->backend;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelConfig(TRITONBACKEND_Model* model, uint32_t, TRITONSERVER_Message** config) {
  *config = new TRITONSERVER_Message{model->config};
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelName(TRITONBACKEND_Model* model, const char** name) {
  *name = model->name.c_str();
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelRepository(TRITONBACKEND_Model* model, int* type, const char** location) {
  *type = 0;
  *location = model->repository.c_str();
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelVersion(TRITONBACKEND_Model*, uint64_t* version) {
  *version = 1;
  return nullptr;
}

TRITONSERVER_Error* TRITONBACKEND_ModelInstanceModel(TRITONBACKEND_ModelInstance* instance,
                                                     TRITONBACKEND_Model** model) {
  *model = instance->model;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceName(TRITONBACKEND_ModelInstance* instance, const char** name) {
  *name = instance->name.c_str();
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceKind(TRITONBACKEND_ModelInstance*, int* kind) {
  *kind = 1;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceDeviceId(TRITONBACKEND_ModelInstance*, int32_t* device) {
  *device = 0;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceState(TRITONBACKEND_ModelInstance* instance, void** state) {
  *state = instance->state;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceSetState(TRITONBACKEND_ModelInstance* instance, void* state) {
  instance->state = state;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceReportStatistics(TRITONBACKEND_ModelInstance*, TRITONBACKEND_Request*,
                                                                bool, uint64_t, uint64_t, uint64_t, uint64_t) {
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceReportBatchStatistics(TRITONBACKEND_ModelInstance*, uint64_t,
                                                                     uint64_t executed, uint64_t begun,
                                                                     uint64_t computed, uint64_t ended) {
  const std::lock_guard<std::mutex> lock(mutex);
  disordered += executed > begun || begun > computed || computed > ended || begun < computed_until_ns;
  computed_until_ns = computed;
  return nullptr;
}

TRITONSERVER_Error* TRITONBACKEND_RequestInput(TRITONBACKEND_Request* request, const char* name,
                                               TRITONBACKEND_Input** input) {
  for (TRITONBACKEND_Input& each : request->inputs)
    if (each.name == name) return *input = &each, nullptr;
  return TRITONSERVER_ErrorNew(kErrorInvalidArgument, "no such input");
}
TRITONSERVER_Error* TRITONBACKEND_RequestOutputCount(TRITONBACKEND_Request* request, uint32_t* count) {
  *count = static_cast<uint32_t>(request->outputs.size());
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_RequestOutputName(TRITONBACKEND_Request* request, uint32_t index, const char** name) {
  *name = request->outputs.at(index).c_str();
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_RequestParameterCount(TRITONBACKEND_Request* request, uint32_t* count) {
  *count = static_cast<uint32_t>(request->parameters.size());
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_RequestParameter(TRITONBACKEND_Request* request, uint32_t index, const char** key,
                                                   int* type, const void** value) {
  *key = request->parameters.at(index).first.c_str();
  *type = kParameterString;
  *value = request->parameters.at(index).second.c_str();
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_RequestRelease(TRITONBACKEND_Request* request, uint32_t) {
  const std::lock_guard<std::mutex> lock(mutex);
  ++request->releases;
  released.notify_all();
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_InputProperties(TRITONBACKEND_Input* input, const char** name, int* datatype,
                                                  const int64_t** shape, uint32_t* dims_count, uint64_t* byte_size,
                                                  uint32_t* buffer_count) {
  if (name) *name = input->name.c_str();
  *datatype = input->datatype;
  *shape = input->shape.data();
  *dims_count = static_cast<uint32_t>(input->shape.size());
  *byte_size = input->byte_size;
  *buffer_count = static_cast<uint32_t>(input->buffers.size());
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_InputBuffer(TRITONBACKEND_Input* input, uint32_t index, const void** buffer,
                                              uint64_t* byte_size, int* memory_type, int64_t* memory_type_id) {
  *buffer = input->buffers.at(index).first;
  *byte_size = input->buffers.at(index).second;
  *memory_type = input->is_on_gpu ? kMemoryGpu : kMemoryCpu;
  *memory_type_id = 0;
  return nullptr;
}

TRITONSERVER_Error* TRITONBACKEND_ResponseNew(TRITONBACKEND_Response** response, TRITONBACKEND_Request* request) {
  *response = new TRITONBACKEND_Response;
  const std::lock_guard<std::mutex> lock(mutex);
  open_responses()[*response] = {request};
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ResponseOutput(TRITONBACKEND_Response* response, TRITONBACKEND_Output** output,
                                                 const char* name, int, const int64_t* shape, uint32_t dims) {
  *output = new TRITONBACKEND_Output{name, {shape, shape + dims}, {}};
  response->outputs.push_back(*output);
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_OutputBuffer(TRITONBACKEND_Output* output, void** buffer, uint64_t byte_size,
                                               int* memory_type, int64_t* memory_type_id) {
  output->bytes.resize(byte_size);
  *buffer = output->bytes.data();
  *memory_type = kMemoryCpu;
  *memory_type_id = 0;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ResponseSend(TRITONBACKEND_Response* response, uint32_t, TRITONSERVER_Error* error) {
  const std::lock_guard<std::mutex> lock(mutex);
  TRITONBACKEND_Request* request = open_responses().at(response).request;
  ++request->answers;
  if (error) {
    request->error_code = error->code;
    request->error = error->text;
  }
  for (TRITONBACKEND_Output* output : response->outputs) {
    if (!error) request->answer[output->name] = *output;
    delete output;
  }
  open_responses().erase(response);
  delete response;
  return nullptr;
}
}
