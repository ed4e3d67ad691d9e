#include "model_process.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <sstream>

#include "clock.h"

extern char** environ;

namespace photofinish {
namespace {

constexpr int kChildMemory = 3;  // the model process's descriptors, by agreement with its script
constexpr int kChildSocket = 4;
constexpr uint64_t kLookNs = 200'000'000;  // how often a wait looks whether the process still lives
constexpr uint64_t kEarlyNs = 150'000;     // before the usual end the bridge stops sleeping, and after it begins again
constexpr int kCoresToLook = 4;            // with fewer cores the model needs them all
constexpr int kStopTimeoutMs = 5000;

[[noreturn]] void fail(const std::string& what) { throw ProcessError(what + ": " + std::strerror(errno)); }

void wake(uint32_t* futex) { syscall(SYS_futex, futex, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0); }

void sleep_while(uint32_t* futex, uint32_t value, long limit_ns) {
  const timespec timeout{0, limit_ns};
  syscall(SYS_futex, futex, FUTEX_WAIT, value, &timeout, nullptr, 0);
}

// Whether there are cores to spare for looking instead of sleeping; the variable is for tests on small machines.
bool has_cores_to_look() {
  const char* chosen = std::getenv("PHOTOFINISH_CORES_TO_LOOK");
  cpu_set_t cores;
  const int available = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
  return available >= (chosen ? std::atoi(chosen) : kCoresToLook);
}

std::vector<std::string> split(const std::string& line, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(line);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

std::string from_hex(const std::string& digits) {
  std::string bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  return bytes;
}

}  // namespace

ModelProcess::ModelProcess(const std::string& python, const std::string& script, const std::string& instance_name,
                             const Arguments& arguments) {
  try {
    may_look_ = has_cores_to_look();
    start(python, script, instance_name);
    send(arguments);
    receive_layout();
  } catch (...) {
    stop();
    throw;
  }
}

ModelProcess::~ModelProcess() { stop(); }

void ModelProcess::start(const std::string& python, const std::string& script, const std::string& instance_name) {
  memory_file_ = memfd_create("photofinish_lane", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (memory_file_ < 0) fail("no shared memory for the model process");
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail("no socket for the model process");
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
  const char* command[] = {python.c_str(), "-I", script.c_str(), instance_name.c_str(), nullptr};
  const int error = posix_spawn(&pid_, python.c_str(), &files, &attributes, const_cast<char**>(command), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  close(memory);
  close(socket);
  if (error != 0) {
    pid_ = -1;
    errno = error;
    fail(python + " cannot be started");
  }
}

void ModelProcess::send(const Arguments& arguments) {
  std::string text;
  for (const auto& [key, value] : arguments) text += key + '\0' + value + '\0';
  // With it the model process finds out whether it may open what this process has open.
  text += std::string("bridge_descriptor") + '\0' + std::to_string(memory_file_) + '\0';
  const uint32_t size = static_cast<uint32_t>(text.size());
  text.insert(0, reinterpret_cast<const char*>(&size), sizeof size);
  for (size_t sent = 0; sent < text.size();) {
    const ssize_t done = ::send(socket_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) throw ProcessError("the model process " + how_it_ended());
    sent += static_cast<size_t>(done);
  }
}

void ModelProcess::receive_layout() {
  std::string text;
  char buffer[4096];
  while (text.find("\nend\n") == std::string::npos) {
    const ssize_t count = recv(socket_, buffer, sizeof buffer, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) throw ProcessError("the model process " + how_it_ended() + "; its last words are in the log");
    text.append(buffer, static_cast<size_t>(count));
  }
  for (const std::string& line : split(text, '\n')) {
    const auto words = split(line, '\t');
    if (words.empty()) continue;
    if (words[0] == "refused" && words.size() == 2) throw ProcessError(words[1]);
    if (words[0] == "input" && words.size() == 5) {
      layout_.inputs.push_back({words[1], std::stoi(words[2])});
      layout_.input_buffers.push_back({from_hex(words[3]), std::stoull(words[4])});
    } else if (words[0] == "output" && words.size() == 3) {
      layout_.outputs.push_back({words[1], std::stoi(words[2])});
    } else if (words[0] == "gauge" && words.size() == 5) {
      layout_.gauges.push_back({words[1], words[2], words[3], std::stod(words[4])});
    } else if (words[0] == "memory" && words.size() == 6) {
      layout_.byte_size = std::stoull(words[1]);
      layout_.staging_offset = std::stoull(words[2]);
      layout_.staging_size = std::stoull(words[3]);
      layout_.is_batched = words[4] == "1";
      layout_.reads_regions = words[5] == "1";
    }
  }
  // Nobody takes it away any more, and it holds what the process says.
  struct stat status {};
  const bool is_sealed = fcntl(memory_file_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0;
  if (!is_sealed || fstat(memory_file_, &status) != 0) fail("the model process's memory cannot be sealed");
  if (layout_.byte_size < sizeof(Lane) || layout_.byte_size > static_cast<uint64_t>(status.st_size) ||
      layout_.staging_offset > layout_.byte_size || layout_.staging_size > layout_.byte_size - layout_.staging_offset)
    throw ProcessError("the model process describes memory that it does not have");
  void* memory = mmap(nullptr, layout_.byte_size, PROT_READ | PROT_WRITE, MAP_SHARED, memory_file_, 0);
  if (memory == MAP_FAILED) fail("the model process's memory cannot be mapped");
  lane_ = static_cast<Lane*>(memory);
}

void ModelProcess::run(uint32_t rows) {
  uint64_t& usual_ns = usual_ns_[std::min<size_t>(std::numeric_limits<uint32_t>::digits - __builtin_clz(rows | 1),
                                                  usual_ns_.size() - 1)];
  const uint64_t begun_ns = now_ns();
  const uint32_t number = __atomic_add_fetch(&lane_->asked, 1, __ATOMIC_RELEASE);
  wake(&lane_->asked);
  // To wake from sleep takes tens of microseconds on a virtual machine, so the last stretch of the usual time is spent
  // looking.
  const bool is_done = may_look_ && ((usual_ns > kEarlyNs && sleep(number, usual_ns - kEarlyNs)) ||
                                     look(number, std::max(begun_ns + usual_ns, now_ns()) + kEarlyNs));
  while (!is_done && !sleep(number, kLookNs)) {
    pollfd end{socket_, POLLIN, 0};  // the process never speaks again: what can be read is its end
    if (poll(&end, 1, 0) > 0) throw ProcessError("its model process " + how_it_ended());
  }
  usual_ns = (usual_ns * 7 + (now_ns() - begun_ns)) / 8;
}

bool ModelProcess::has_answered(uint32_t number) const {
  return __atomic_load_n(&lane_->answered, __ATOMIC_SEQ_CST) == number;
}

// Sleep until the answer is there, but no longer than this; whether it is.
bool ModelProcess::sleep(uint32_t number, uint64_t limit_ns) {
  __atomic_store_n(&lane_->bridge_sleeps, 1, __ATOMIC_SEQ_CST);
  const uint64_t until_ns = now_ns() + limit_ns;
  for (uint64_t now = now_ns(); !has_answered(number) && now < until_ns; now = now_ns())
    sleep_while(&lane_->answered, number - 1, static_cast<long>(std::min(until_ns - now, kLookNs)));
  __atomic_store_n(&lane_->bridge_sleeps, 0, __ATOMIC_SEQ_CST);
  return has_answered(number);
}

// Look again and again until the answer is there or the time has come; whether it is there.
bool ModelProcess::look(uint32_t number, uint64_t until_ns) {
  while (!has_answered(number)) {
    if (now_ns() > until_ns) return false;
    for (int i = 0; i < 16; ++i) __builtin_ia32_pause();
  }
  return true;
}

std::string ModelProcess::how_it_ended() {
  int status = 0;
  for (int waited = 0; waited < kStopTimeoutMs; ++waited) {
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      if (WIFSIGNALED(status)) return std::string("was ended by ") + strsignal(WTERMSIG(status));
      return "ended with exit code " + std::to_string(WEXITSTATUS(status));
    }
    usleep(1000);
  }
  return "no longer answers";
}

void ModelProcess::stop() {
  if (socket_ >= 0) close(socket_);  // the process ends when it sees this
  socket_ = -1;
  if (pid_ > 0) {
    int status = 0;
    for (int waited = 0; pid_ > 0 && waited < kStopTimeoutMs; ++waited) {
      if (waitpid(pid_, &status, WNOHANG) != 0) pid_ = -1;
      if (pid_ > 0) usleep(1000);
    }
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, &status, 0);
      pid_ = -1;
    }
  }
  if (lane_ != nullptr) munmap(lane_, layout_.byte_size);
  lane_ = nullptr;
  if (memory_file_ >= 0) close(memory_file_);
  memory_file_ = -1;
}

}  // namespace photofinish
