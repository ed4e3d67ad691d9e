// Whether models can be served now, for Triton's health endpoints.
#pragma once

#include <string>

namespace photofinish {

// One of the model's instances has a process from now on (+1), or has none any more (-1).
void report_serving(const std::string& model, int change);
// An instance of the model is there (+1) or goes (-1).
void report_instance(const std::string& model, int change);

}  // namespace photofinish
