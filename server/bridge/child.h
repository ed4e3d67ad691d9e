// A process of ours: Python that loads a model as soon as it is told which, and the memory shared with it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace photofinish {

class Child {
 public:
  enum class State { kRuns, kStopped, kEnded };

  // Starts the script, which waits for its arguments at the socket. `name` is what `ps` shows of it. Throws
  // std::runtime_error.
  Child(const std::string& python, const std::string& script, const std::string& name);
  // Ends it: soon and by itself where it runs, at once where it does not.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  int socket() const { return socket_; }
  int memory_file() const { return memory_file_; }

  // What it does, without waiting. kStopped only after it was seen stopped (SIGSTOP) for a quarter of a second.
  State look();
  // What became of it, in words for the user; waits a moment for its end.
  std::string how_it_ended();
  void kill();
  // Whether it ended within so many milliseconds; then it is reaped.
  bool has_ended(int wait_ms);

 private:
  pid_t pid_ = -1;
  int socket_ = -1;
  int memory_file_ = -1;
  uint64_t stopped_ns_ = 0;  // since when it is stopped
  std::string end_;          // how it ended, once it is reaped
};

}  // namespace photofinish
