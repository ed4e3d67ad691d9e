// A process that has everything imported and waits for a model, so that one which ended is replaced without that time.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "child.h"

namespace photofinish {

// One for each backend, shared by its instances. It uses no GPU: it knows no model yet.
class Spares {
 public:
  Spares(std::string python, std::string script) : python_(std::move(python)), script_(std::move(script)) {}
  ~Spares() {
    if (spare_) spare_->kill();
  }

  // A process for this instance: the spare, or a new one. Throws std::runtime_error.
  std::unique_ptr<Child> take(const std::string& instance_name);
  // Start a spare unless there is one, or memory is short, or PHOTOFINISH_SPARE=off.
  void prepare();

 private:
  const std::string python_, script_;
  std::mutex mutex_;
  std::unique_ptr<Child> spare_;
};

// The spares of this library's backend; they go with the last instance.
std::shared_ptr<Spares> shared_spares(const std::string& python, const std::string& script);

}  // namespace photofinish
