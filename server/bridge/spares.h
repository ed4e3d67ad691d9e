// Where model processes come from. A spare one has everything imported and waits for a model, so that one which ended is
// replaced without that time; one that a group shares is there for as long as a model of the group is.
#pragma once

#include <map>
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

  // A process for this instance: the spare, or a new one; with a group's name a place in the one that the group shares.
  // Throws std::runtime_error.
  std::unique_ptr<Child> take(const std::string& instance_name, const std::string& group);
  // Held while a model is loaded into the group's process: one at a time, so that what each takes can be told.
  std::unique_lock<std::mutex> turn(const std::string& group);
  // Start a spare unless there is one, or memory is short, or PHOTOFINISH_SPARE=off.
  void prepare();

 private:
  struct Group {
    std::mutex loading;
    std::weak_ptr<Child> process;
  };
  std::unique_ptr<Child> take_whole(const std::string& name);

  const std::string python_, script_;
  std::mutex mutex_;  // for all that follows
  std::unique_ptr<Child> spare_;
  std::map<std::string, Group> groups_;
};

// The spares of this library's backend; they go with the last instance.
std::shared_ptr<Spares> shared_spares(const std::string& python, const std::string& script);

}  // namespace photofinish
