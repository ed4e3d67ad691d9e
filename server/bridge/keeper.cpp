#include "keeper.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "clock.h"
#include "readiness.h"
#include "threads.h"

namespace photofinish {
namespace {

constexpr int kLookMs = 100;                        // how often a process that has nothing to do is looked at
constexpr uint64_t kLoadLimitNs = 600'000'000'000;  // as Triton's Python backend has it, see command.py
constexpr uint64_t kSpareAfterNs = 4'000'000'000;   // a server that has just begun has better work for its cores
constexpr uint64_t kWaitNs = 5'000'000'000;         // how long after an end requests wait for the next process
constexpr uint64_t kPauseNs = 500'000'000;          // before the third start in a row; doubled with each
constexpr uint64_t kMaxPauseNs = 8'000'000'000;
constexpr int kMaxShared = 3;                       // failures in a row, after which others are troubled no more

}  // namespace

Keeper::Keeper(std::string model, std::string instance, std::string group, Arguments arguments,
               std::shared_ptr<Spares> spares, Hooks hooks)
    : model_(std::move(model)),
      instance_(std::move(instance)),
      group_(std::move(group)),
      arguments_(std::move(arguments)),
      spares_(std::move(spares)),
      hooks_(std::move(hooks)) {
  stop_event_ = eventfd(0, EFD_CLOEXEC);
  if (stop_event_ < 0) throw ProcessError("no descriptor is left to watch the model process; allow more open files");
  try {
    start();
  } catch (...) {
    close(stop_event_);
    throw;
  }
  report_instance(model_, 1);
  try {
    thread_ = started_thread("watch the model process", [this] { keep(); });
  } catch (const std::runtime_error& error) {
    end();
    throw ProcessError(model_ + ": " + error.what());
  }
}

Keeper::~Keeper() {
  const uint64_t one = 1;
  if (write(stop_event_, &one, sizeof one) < 0) std::terminate();  // an eventfd takes it
  thread_.join();
  end();
}

void Keeper::end() {
  report_instance(model_, -1);
  if (process_) {
    if (!is_lost_) report_serving(model_, -1);
    hooks_.adopt(nullptr);
  }
  process_.reset();
  close(stop_event_);
}

std::shared_ptr<ModelProcess> Keeper::process(std::unique_lock<std::mutex>& lock, std::string& why) {
  const auto is_there = [this] { return process_ && !is_lost_; };
  for (uint64_t now = now_ns(); !is_there() && now < lost_ns_ + kWaitNs; now = now_ns())
    changed_.wait_for(lock, std::chrono::nanoseconds(lost_ns_ + kWaitNs - now), is_there);
  if (is_there()) return process_;
  const uint64_t now = now_ns();
  const uint64_t pause_s = next_ns_ > now ? (next_ns_ - now) / 1'000'000'000 + 1 : 1;
  why = model_ + ": a model process ended; it is starting again (" + reason_ + "); try again in " +
        std::to_string(pause_s) + " s";
  return nullptr;
}

void Keeper::lost(const ModelProcess& process, const std::string& how) {
  if (process_.get() != &process || is_lost_) return;
  is_lost_ = true;
  reason_ = how;
  lost_ns_ = now_ns();
  failures_ = has_worked_ ? 1 : failures_ + 1;
  next_ns_ = lost_ns_ + pause_ns();
  report_serving(model_, -1);
  hooks_.tell(true, model_ + ": a model process ended; it is starting again (" + how + ")");
  process_->hang_up();  // which the thread that keeps it sees
}

int Keeper::failures() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return failures_;
}

// The first start after an end is at once, and so is the second.
uint64_t Keeper::pause_ns() const {
  if (failures_ < 3) return 0;
  return std::min(kMaxPauseNs, kPauseNs << std::min(failures_ - 3, 10));
}

// The model in a process of its own, or in its group's.
std::shared_ptr<ModelProcess> Keeper::load() {
  const auto loaded = [&](const std::string& group) {
    return std::make_shared<ModelProcess>(spares_->take(instance_, group), arguments_, kLoadLimitNs, stop_event_);
  };
  if (group_.empty() || failures() >= kMaxShared) return loaded("");
  try {
    const auto turn = spares_->turn(group_);
    return loaded(group_);
  } catch (const ApartError& error) {
    group_ += error.what();
  }
  hooks_.tell(false, model_ + " wants other settings than models that share a process; its group is " + group_);
  const auto turn = spares_->turn(group_);
  return loaded(group_);
}

void Keeper::start() {
  auto started = [&] {
    try {
      return load();
    } catch (const ProcessError&) {
      throw;
    } catch (const std::runtime_error& error) {
      throw ProcessError(error.what());
    }
  }();
  const std::lock_guard<std::mutex> lock(mutex_);
  hooks_.adopt(started.get());
  process_ = std::move(started);
  is_lost_ = false;
  has_worked_ = false;
  report_serving(model_, 1);
  changed_.notify_all();
}

void Keeper::keep() {
  const uint64_t spare_ns = now_ns() + kSpareAfterNs;
  bool has_spare = false;
  while (true) {
    bool is_there = false;
    uint64_t now = now_ns(), next_ns = 0;
    if (!has_spare && now >= spare_ns) {
      spares_->prepare();
      has_spare = true;
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (process_ && !is_lost_) {
        if (const std::string how = process_->look(); !how.empty()) {
          const bool is_bystander = process_->is_bystander();
          has_worked_ = has_worked_ || is_bystander;
          lost(*process_, how);
          // Whoever ends the process again while this model is loaded has failed more often than it.
          if (is_bystander) failures_ = 0;
        }
      }
      is_there = process_ && !is_lost_;
      next_ns = next_ns_;
    }
    if (is_there) {
      if (!wait_for_news(kLookMs)) return;
    } else if (next_ns > now) {
      drop();
      if (!wait_for_news(static_cast<int>((next_ns - now) / 1'000'000 + 1))) return;
    } else {
      replace();
    }
  }
}

// Let go of a process that is of no use. Who waited for its answer may still hold it: the next one, which needs the same
// memory on the GPU, begins when it has ended all the same.
void Keeper::drop() {
  std::shared_ptr<ModelProcess> gone;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!process_) return;
    hooks_.adopt(nullptr);
    gone = std::move(process_);
  }
  gone->wait_for_end();
}

void Keeper::replace() {
  drop();
  try {
    start();
    hooks_.tell(false, model_ + ": a new model process serves");
    spares_->prepare();
  } catch (const std::exception& error) {
    const std::lock_guard<std::mutex> lock(mutex_);
    reason_ = error.what();
    ++failures_;
    next_ns_ = now_ns() + std::max(kPauseNs, pause_ns());
    hooks_.tell(true, model_ + ": no new model process: " + reason_);
  }
}

// Wait until the process says something, which is its end, or the time has passed; false when all is to stop.
bool Keeper::wait_for_news(int timeout_ms) {
  pollfd news[] = {{stop_event_, POLLIN, 0}, {process_ ? process_->socket() : -1, POLLIN, 0}};
  poll(news, 2, timeout_ms);
  return news[0].revents == 0;
}

}  // namespace photofinish
