#include "model_process.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <sstream>

#include "clock.h"

namespace photofinish {
namespace {

constexpr uint64_t kLookNs = 50'000'000;  // how often a wait looks whether the process still lives
constexpr int kLookMs = 50;
constexpr int kGoneMs = 5000;  // a process that hangs in a driver is left to the kernel after this
constexpr uint64_t kFirstLimitNs = 60'000'000'000;  // for an execution, when nobody knows yet how long they take
constexpr uint64_t kLimitNs = 10'000'000'000;
constexpr uint64_t kEarlyNs = 150'000;     // before the usual end the bridge stops sleeping, and after it begins again
constexpr int kCoresToLook = 4;            // with fewer cores the model needs them all

[[noreturn]] void fail(const std::string& what) { throw ProcessError(what + ": " + std::strerror(errno)); }

void wake(uint32_t* futex) { syscall(SYS_futex, futex, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0); }

// Whether so many are at least as many; the numbers begin again after 2^32.
bool has_reached(uint32_t answered, uint32_t number) { return static_cast<int32_t>(answered - number) >= 0; }

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

std::string in_seconds(uint64_t ns) {
  std::ostringstream text;
  text << static_cast<double>(ns) / 1e9 << " s";
  return text.str();
}

std::string from_hex(const std::string& digits) {
  std::string bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  return bytes;
}

}  // namespace

ModelProcess::ModelProcess(std::unique_ptr<Child> child, const Arguments& arguments, uint64_t limit_ns, int stop_event)
    : child_(std::move(child)), may_look_(has_cores_to_look()) {
  child_->give(arguments);
  receive_layout(limit_ns, stop_event);
}

ModelProcess::~ModelProcess() {
  if (lane_ != nullptr) munmap(lane_, layout_.byte_size);
}

void ModelProcess::receive_layout(uint64_t limit_ns, int stop_event) {
  std::string text;
  char buffer[4096];
  const uint64_t until_ns = now_ns() + limit_ns;
  while (text.find("\nend\n") == std::string::npos) {
    pollfd news[] = {{child_->socket(), POLLIN, 0}, {stop_event, POLLIN, 0}};
    if (poll(news, 2, kLookMs) < 0 && errno != EINTR) fail("the model process cannot be waited for");
    if (news[1].revents != 0) throw ProcessError("the server ends");
    if (news[0].revents == 0) {
      if (child_->look() == Child::State::kStopped) throw ProcessError("the model process " + child_->how_it_ended());
      if (now_ns() > until_ns)
        throw ProcessError("the model process has not loaded its model within " + in_seconds(limit_ns));
      continue;
    }
    const ssize_t count = recv(child_->socket(), buffer, sizeof buffer, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0)
      throw ProcessError("the model process " + child_->how_it_ended() + "; its last words are in the log");
    text.append(buffer, static_cast<size_t>(count));
  }
  for (const std::string& line : split(text, '\n')) {
    const auto words = split(line, '\t');
    if (words.empty()) continue;
    if (words[0] == "refused" && words.size() == 2) throw ProcessError(words[1]);
    if (words[0] == "apart" && words.size() == 2) throw ApartError(words[1]);
    if (words[0] == "input" && words.size() == 3) {
      layout_.inputs.push_back({words[1], std::stoi(words[2])});
    } else if (words[0] == "buffer" && words.size() == 5) {
      layout_.input_buffers.at(std::stoul(words[1])).at(std::stoul(words[2])) = {from_hex(words[3]),
                                                                                 std::stoull(words[4])};
    } else if (words[0] == "slots" && words.size() == 3) {
      layout_.slots = static_cast<uint32_t>(std::stoul(words[1]));
      layout_.stride = std::stoull(words[2]);
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
  const bool is_sealed = fcntl(child_->memory_file(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0;
  if (!is_sealed || fstat(child_->memory_file(), &status) != 0) fail("the model process's memory cannot be sealed");
  uint64_t end = 0;  // of the last slot's staging area
  if (layout_.byte_size < sizeof(Lane) || layout_.byte_size > static_cast<uint64_t>(status.st_size) ||
      layout_.inputs.size() > kMaxTensors || layout_.outputs.size() > kMaxTensors || layout_.slots < 1 ||
      layout_.slots > kMaxSlots || __builtin_mul_overflow(layout_.stride, layout_.slots - 1, &end) ||
      __builtin_add_overflow(end, layout_.staging_offset, &end) ||
      __builtin_add_overflow(end, layout_.staging_size, &end) || end > layout_.byte_size)
    throw ProcessError("the model process describes memory that it does not have");
  void* memory = mmap(nullptr, layout_.byte_size, PROT_READ | PROT_WRITE, MAP_SHARED, child_->memory_file(), 0);
  if (memory == MAP_FAILED) fail("the model process's memory cannot be mapped");
  lane_ = static_cast<Lane*>(memory);
}

size_t ModelProcess::digits_of(uint32_t rows) {
  return std::min<size_t>(std::numeric_limits<uint32_t>::digits - __builtin_clz(rows | 1), kDigits - 1);
}

void ModelProcess::ask(uint32_t count) {
  lane_->slots[slot(++asked_)].request_count = count;
  __atomic_store_n(&lane_->asked, asked_, __ATOMIC_RELEASE);
  wake(&lane_->asked);
}

void ModelProcess::wait(uint32_t number, uint32_t rows, uint64_t since_ns) {
  const size_t digits = digits_of(rows);
  const uint64_t usual_ns = usual_ns_[digits], end_ns = since_ns + usual_ns;
  const uint64_t rest_ns = end_ns - std::min(end_ns, now_ns());
  // To wake from sleep takes tens of microseconds on a virtual machine, so the last stretch of the usual time is spent
  // looking.
  const bool is_done = may_look_ && ((rest_ns > kEarlyNs && sleep(number, rest_ns - kEarlyNs)) ||
                                     look(number, std::max(end_ns, now_ns()) + kEarlyNs));
  // Looks are counted, not the time between them: a machine that stood still for a while is no fault of the process.
  for (uint64_t waited_ns = 0; !is_done && !sleep(number, kLookNs); waited_ns += kLookNs) {
    if (const std::string end = look(); !end.empty()) throw ProcessError(end);
    if (waited_ns < limit_ns(digits)) continue;
    const std::lock_guard<std::mutex> lock(child_mutex_);
    end_ = "gave no answer within " + in_seconds(limit_ns(digits)) + " and was ended";
    child_->kill(end_);
    throw ProcessError(end_);
  }
  const uint64_t taken_ns = now_ns() - since_ns;
  usual_ns_[digits] = usual_ns == 0 ? taken_ns : (usual_ns * 7 + taken_ns) / 8;
  slowest_ns_[digits] = std::max(slowest_ns_[digits], taken_ns);
}

std::string ModelProcess::look() {
  const std::lock_guard<std::mutex> lock(child_mutex_);
  if (!end_.empty()) return end_;
  pollfd end{child_->socket(), POLLIN, 0};  // the process never speaks again: what can be read is its end
  const bool is_closed = poll(&end, 1, 0) > 0;
  if (!is_closed && child_->look() == Child::State::kRuns) return "";
  end_ = child_->how_it_ended();
  child_->kill(end_);  // where it only stands still
  return end_;
}

bool ModelProcess::is_bystander() {
  const std::lock_guard<std::mutex> lock(child_mutex_);
  return child_->is_place() && (child_->is_bystander() || has_answered(asked_));
}

void ModelProcess::hang_up() {
  const std::lock_guard<std::mutex> lock(child_mutex_);
  child_->kill();
  shutdown(child_->socket(), SHUT_RDWR);
}

void ModelProcess::wait_for_end() {
  for (int waited = 0; waited < kGoneMs; ++waited) {
    {
      const std::lock_guard<std::mutex> lock(child_mutex_);  // not for longer: whoever waits for an answer looks, too
      if (child_->has_ended(0)) return;
    }
    usleep(1000);
  }
}

// How long an execution may take: far longer than any before. The variable is for models that need more.
uint64_t ModelProcess::limit_ns(size_t digits) const {
  if (const char* chosen = std::getenv("PHOTOFINISH_EXECUTION_LIMIT_S"); chosen && std::atof(chosen) > 0)
    return static_cast<uint64_t>(std::atof(chosen) * 1e9);
  return slowest_ns_[digits] == 0 ? kFirstLimitNs : std::max(kLimitNs, 20 * slowest_ns_[digits]);
}

bool ModelProcess::has_answered(uint32_t number) const {
  return has_reached(__atomic_load_n(&lane_->answered, __ATOMIC_SEQ_CST), number);
}

// Sleep until the answer is there, but no longer than this; whether it is.
bool ModelProcess::sleep(uint32_t number, uint64_t limit_ns) {
  __atomic_store_n(&lane_->bridge_sleeps, 1, __ATOMIC_SEQ_CST);
  const uint64_t until_ns = now_ns() + limit_ns;
  for (uint64_t now = now_ns(); now < until_ns; now = now_ns()) {
    const uint32_t answered = __atomic_load_n(&lane_->answered, __ATOMIC_SEQ_CST);
    if (has_reached(answered, number)) break;
    sleep_while(&lane_->answered, answered, static_cast<long>(std::min(until_ns - now, kLookNs)));
  }
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

}  // namespace photofinish
