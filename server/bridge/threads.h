// Threads of the bridge's own. A machine or a container may have no room for one more.
#pragma once

#include <signal.h>

#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

namespace photofinish {

// Runs `work`; Triton's signals are for its own threads. `purpose` says what for. Throws std::runtime_error.
template <typename Work>
std::thread started_thread(const std::string& purpose, Work work) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread;
  std::string why;
  try {
    thread = std::thread(std::move(work));
  } catch (const std::system_error& error) {
    why = error.code().message();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!thread.joinable())
    throw std::runtime_error("no thread can be started to " + purpose + " (" + why +
                             "); allow more threads (ulimit -u, a container's --pids-limit) or load fewer models");
  return thread;
}

}  // namespace photofinish
