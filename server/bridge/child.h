// A process of ours, or a place in one: Python that loads a model as soon as it is told which, and the memory shared
// with it.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace photofinish {

using Arguments = std::vector<std::pair<std::string, std::string>>;

class Child {
 public:
  enum class State { kRuns, kStopped, kEnded };

  // Starts the script, which waits for its arguments at the socket. `name` is what `ps` shows of it. Throws
  // std::runtime_error.
  Child(const std::string& python, const std::string& script, const std::string& name);
  // A place in a process that was told to be shared. Throws std::runtime_error.
  Child(std::shared_ptr<Child> host, const std::string& name);
  // Ends it: soon and by itself where it runs, at once where it does not. A place is left, and the memory that its
  // model had is free; the process ends with the last place.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return host_ ? host_->pid() : pid_.load(); }
  // What tells it from all others: the process, and the place there.
  std::string label() const { return std::to_string(pid()) + (host_ ? "/" + name_ : ""); }
  bool is_place() const { return host_ != nullptr; }
  int socket() const { return socket_; }
  int memory_file() const { return memory_file_; }
  // Tells it what to do. Throws std::runtime_error when it does not read that.
  void give(const Arguments& arguments);

  // What it does, without waiting. kStopped only after it was seen stopped (SIGSTOP) for a quarter of a second.
  State look();
  // What became of it, in words for the user; waits a moment for its end.
  std::string how_it_ended();
  // With all that have a place there, who are told why. Whether it ran until now.
  bool kill(const std::string& why = "");
  // Whether it ended within so many milliseconds; then it is reaped.
  bool has_ended(int wait_ms);
  // Whether it was killed for what happened at another place.
  bool is_bystander();

 private:
  int open_ends();
  void leave();
  bool reap();

  const std::shared_ptr<Child> host_;
  const std::string name_;
  int socket_ = -1;
  int memory_file_ = -1;
  bool is_guilty_ = false;            // this place had the process killed
  std::atomic<pid_t> pid_{-1};
  std::mutex mutex_;                  // for all of these: several places may ask
  uint64_t stopped_ns_ = 0;           // since when it is stopped
  bool is_killed_ = false;
  std::string why_, end_;             // why it was killed; how it ended, once it is reaped
};

}  // namespace photofinish
