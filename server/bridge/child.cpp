#include "child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
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
constexpr int kLookMs = 50;
constexpr uint64_t kReadNs = 30'000'000'000;  // how long a process may take to read what it is given
constexpr uint64_t kStoppedNs = 250'000'000;

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what + ": " + std::strerror(errno)); }

}  // namespace

// Makes memory and socket; the other end of the socket.
int Child::open_ends() {
  memory_file_ = memfd_create("photofinish_lane", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (memory_file_ < 0) fail("no shared memory for the model process");
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    close(memory_file_);
    fail("no socket for the model process");
  }
  socket_ = ends[0];
  return ends[1];
}

Child::Child(const std::string& python, const std::string& script, const std::string& name) : name_(name) {
  const int end = open_ends();
  // The copies lie above the numbers that the child gets, so that none of its own is overwritten.
  const int memory = fcntl(memory_file_, F_DUPFD_CLOEXEC, 16), socket = fcntl(end, F_DUPFD_CLOEXEC, 16);
  close(end);
  if (memory < 0 || socket < 0) {  // it would take whatever else has the numbers for its own
    close(memory);
    close(socket);
    close(socket_);
    close(memory_file_);
    throw std::runtime_error("no descriptor is left for the model process; allow more open files");
  }

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
  pid_t pid = -1;
  const int error = posix_spawn(&pid, python.c_str(), &files, &attributes, const_cast<char**>(command), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  close(memory);
  close(socket);
  if (error != 0) {
    close(socket_);
    close(memory_file_);
    errno = error;
    fail(python + " cannot be started");
  }
  pid_ = pid;
}

Child::Child(std::shared_ptr<Child> host, const std::string& name) : host_(std::move(host)), name_(name) {
  const int end = open_ends();
  const int given[] = {memory_file_, end};
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof given)] = {};
  char byte = 0;
  iovec word{&byte, 1};
  msghdr message{};
  message.msg_iov = &word;
  message.msg_iovlen = 1;
  message.msg_control = room;
  message.msg_controllen = sizeof room;
  cmsghdr* const files = CMSG_FIRSTHDR(&message);
  files->cmsg_level = SOL_SOCKET;
  files->cmsg_type = SCM_RIGHTS;
  files->cmsg_len = CMSG_LEN(sizeof given);
  std::memcpy(CMSG_DATA(files), given, sizeof given);
  const bool is_sent = sendmsg(host_->socket_, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
  const int error = errno;
  close(end);
  if (is_sent) return;
  close(socket_);
  close(memory_file_);
  errno = error;
  fail("no place in the model process that others share");
}

Child::~Child() {
  if (host_) {
    leave();
    return;
  }
  close(socket_);  // it ends when it sees this
  if (!has_ended(stopped_ns_ ? 0 : kReapMs)) {
    kill();
    has_ended(kReapMs);
  }
  close(memory_file_);
}

// The process closes its end when it has let go of the model.
void Child::leave() {
  shutdown(socket_, SHUT_WR);
  char ignored[4096];
  pollfd news{socket_, POLLIN, 0};
  for (const uint64_t until_ns = now_ns() + uint64_t{kReapMs} * 1'000'000; now_ns() < until_ns;) {
    if (poll(&news, 1, kReapMs) <= 0) continue;
    if (const ssize_t count = recv(socket_, ignored, sizeof ignored, 0); count == 0 || (count < 0 && errno != EINTR)) break;
  }
  close(socket_);
  close(memory_file_);
}

void Child::give(const Arguments& arguments) {
  std::string text;
  for (const auto& [key, value] : arguments) text += key + '\0' + value + '\0';
  // With it the model process finds out whether it may open what this process has open.
  text += std::string("bridge_descriptor") + '\0' + std::to_string(memory_file_) + '\0';
  const uint32_t size = static_cast<uint32_t>(text.size());
  text.insert(0, reinterpret_cast<const char*>(&size), sizeof size);
  const uint64_t until_ns = now_ns() + kReadNs;
  for (size_t sent = 0; sent < text.size();) {
    const ssize_t done = ::send(socket_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done < 0 && errno == EINTR) continue;
    // A configuration with the names of 20,000 classes is more than a socket's buffer holds, and Python takes a moment.
    if (done < 0 && errno == EAGAIN && look() == State::kRuns && now_ns() < until_ns) {
      pollfd room{socket_, POLLOUT, 0};
      poll(&room, 1, kLookMs);
      continue;
    }
    if (done <= 0) throw std::runtime_error("the model process " + how_it_ended());
    sent += static_cast<size_t>(done);
  }
}

Child::State Child::look() {
  if (host_) return host_->look();
  const std::lock_guard<std::mutex> lock(mutex_);
  siginfo_t info{};
  if (is_killed_) return State::kEnded;
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
  if (host_) return host_->how_it_ended();
  if (look() == State::kStopped) return "was stopped (SIGSTOP) and did not go on";
  if (!has_ended(kEndMs)) return "no longer answers";
  const std::lock_guard<std::mutex> lock(mutex_);
  return end_;
}

bool Child::kill(const std::string& why) {
  if (host_) {
    const bool is_first = host_->kill(why.empty() ? why : name_ + " " + why);
    is_guilty_ = is_guilty_ || is_first;
    return is_first;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  if (pid_ < 0) return false;
  ::kill(pid_, SIGKILL);
  if (is_killed_) return false;
  why_ = why;
  return is_killed_ = true;
}

bool Child::is_bystander() {
  if (!host_ || is_guilty_) return false;
  const std::lock_guard<std::mutex> lock(host_->mutex_);
  return !host_->why_.empty();
}

bool Child::has_ended(int wait_ms) {
  if (host_) return host_->has_ended(wait_ms);
  for (int waited = 0; !reap(); ++waited) {
    if (waited >= wait_ms) return false;
    usleep(1000);
  }
  return true;
}

// Whether it has ended; then it is known how.
bool Child::reap() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (pid_ < 0) return true;
  int status = 0;
  const pid_t found = waitpid(pid_, &status, WNOHANG);
  if (found == 0 || (found < 0 && errno == EINTR)) return false;
  end_ = found < 0              ? "ended"
         : !why_.empty()        ? why_
         : WIFSIGNALED(status)  ? std::string("was ended by ") + strsignal(WTERMSIG(status))
                                : "ended with exit code " + std::to_string(WEXITSTATUS(status));
  pid_ = -1;
  return true;
}

}  // namespace photofinish
