// Triton's side of the bridge, as far as the bridge calls it: enough to run the bridge without Triton, under sanitizers.
// Requests may be answered by another thread than the one that has them executed.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "triton_api.h"

struct TRITONSERVER_Error {
  int code;
  std::string text;
};
struct TRITONSERVER_Message {
  std::string json;
};
struct TRITONSERVER_Parameter {};
struct TRITONSERVER_Metric {};
struct TRITONSERVER_MetricFamily {};
struct TRITONBACKEND_Backend {
  std::string folder;
};
struct TRITONBACKEND_BackendAttribute {};
struct TRITONBACKEND_Model {
  std::string name, repository, config;
  TRITONBACKEND_Backend* backend;
};
struct TRITONBACKEND_ModelInstance {
  TRITONBACKEND_Model* model;
  std::string name;
  void* state = nullptr;
};
struct TRITONBACKEND_Input {
  std::string name;
  int datatype = 0;
  std::vector<int64_t> shape;
  uint64_t byte_size = 0;
  std::vector<std::pair<const void*, uint64_t>> buffers;
  bool is_on_gpu = false;
};
struct TRITONBACKEND_Output {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<uint8_t> bytes;
};
struct TRITONBACKEND_Response {
  std::vector<TRITONBACKEND_Output*> outputs;
};
struct TRITONBACKEND_Request {
  std::vector<TRITONBACKEND_Input> inputs;
  std::vector<std::pair<std::string, std::string>> parameters;
  std::vector<std::string> outputs;
  // What became of it.
  int answers = 0, releases = 0, error_code = 0;
  std::string error;
  std::map<std::string, TRITONBACKEND_Output> answer;
};

// Waits until the bridge has let go of the request.
void wait_until_released(const TRITONBACKEND_Request& request);
// How many reports of the bridge's had times that do not follow each other, or began before the last one's end.
int disordered_reports();

extern "C" {
TRITONSERVER_Error* TRITONBACKEND_Initialize(TRITONBACKEND_Backend* backend);
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceInitialize(TRITONBACKEND_ModelInstance* instance);
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance* instance);
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance* instance,
                                                       TRITONBACKEND_Request** requests, uint32_t count);
}
