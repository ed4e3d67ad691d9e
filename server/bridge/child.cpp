#include "child.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "clock.h"

extern char** environ;

namespace photofinish {
namespace {

constexpr int kChildMemory = 3;  // the process's descriptors, by agreement with its script
constexpr int kChildSocket = 4;
constexpr int kEndMs = 1000;     // how long an end that was announced may take
constexpr int kReapMs = 5000;    // a process that hangs in a driver is left to the kernel after this
constexpr uint64_t kStoppedNs = 250'000'000;

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what + ": " + std::strerror(errno)); }

}  // namespace

Child::Child(const std::string& python, const std::string& script, const std::string& name) {
  memory_file_ = memfd_create("photofinish_lane", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (memory_file_ < 0) fail("no shared memory for the model process");
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    close(memory_file_);
    fail("no socket for the model process");
  }
  socket_ = ends[0];
  // The copies lie above the numbers that the child gets, so that none of its own is overwritten.
  const int memory = fcntl(memory_file_, F_DUPFD_CLOEXEC, 16), socket = fcntl(ends[1], F_DUPFD_CLOEXEC, 16);
  close(ends[1]);

  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, memory, kChildMemory);
  posix_spawn_file_actions_adddup2(&files, socket, kChildSocket);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  // -I: neither the environment nor the working directory adds to what the process imports.
  const char* command[] = {python.c_str(), "-I", script.c_str(), name.c_str(), nullptr};
  const int error = posix_spawn(&pid_, python.c_str(), &files, &attributes, const_cast<char**>(command), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  close(memory);
  close(socket);
  if (error != 0) {
    pid_ = -1;
    close(socket_);
    close(memory_file_);
    errno = error;
    fail(python + " cannot be started");
  }
}

Child::~Child() {
  close(socket_);  // it ends when it sees this
  if (!has_ended(stopped_ns_ ? 0 : kReapMs)) {
    kill();
    has_ended(kReapMs);
  }
  close(memory_file_);
}

Child::State Child::look() {
  siginfo_t info{};
  if (pid_ < 0) return State::kEnded;
  if (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT) != 0) return State::kEnded;
  if (info.si_pid == 0) {
    stopped_ns_ = 0;
    return State::kRuns;
  }
  if (info.si_code != CLD_STOPPED) return info.si_code == CLD_TRAPPED ? State::kRuns : State::kEnded;
  if (stopped_ns_ == 0) stopped_ns_ = now_ns();
  return now_ns() - stopped_ns_ > kStoppedNs ? State::kStopped : State::kRuns;
}

std::string Child::how_it_ended() {
  if (look() == State::kStopped) return "was stopped (SIGSTOP) and did not go on";
  return has_ended(kEndMs) ? end_ : "no longer answers";
}

void Child::kill() {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
}

bool Child::has_ended(int wait_ms) {
  for (int waited = 0; pid_ > 0; ++waited) {
    int status = 0;
    const pid_t found = waitpid(pid_, &status, WNOHANG);
    if (found == pid_) {
      end_ = WIFSIGNALED(status) ? std::string("was ended by ") + strsignal(WTERMSIG(status))
                                 : "ended with exit code " + std::to_string(WEXITSTATUS(status));
      pid_ = -1;
    } else if (found < 0 && errno != EINTR) {
      end_ = "ended";
      pid_ = -1;
    } else if (waited >= wait_ms) {
      return false;
    } else {
      usleep(1000);
    }
  }
  return true;
}

}  // namespace photofinish
