// Keeps one model process at work: notices its end, also while nobody asks, and starts the next one.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "model_process.h"
#include "spares.h"

namespace photofinish {

class Keeper {
 public:
  struct Hooks {
    std::function<void(ModelProcess*)> adopt;             // under the lock: the new process, or that it goes (nullptr)
    std::function<void(bool, const std::string&)> tell;   // for the log: whether it is bad news, and the news
  };

  // Starts the first process. Throws ProcessError where the model is refused. Models of one group share a process; ""
  // is none.
  Keeper(std::string model, std::string instance, std::string group, Arguments arguments,
         std::shared_ptr<Spares> spares, Hooks hooks);
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  // Hold it while a process is asked for, and used without waiting.
  std::unique_lock<std::mutex> lock() { return std::unique_lock<std::mutex>(mutex_); }
  // The process, once there is one. Waits for it for a few seconds from the last one's end; then nullptr, and `why`.
  // Whoever keeps it beyond the lock finds out by itself that it has ended.
  std::shared_ptr<ModelProcess> process(std::unique_lock<std::mutex>& lock, std::string& why);
  // A process did its work.
  void worked() { has_worked_ = true; }
  // Under the lock: this process is of no use any more. Another one may be at work by now.
  void lost(const ModelProcess& process, const std::string& how);

 private:
  std::shared_ptr<ModelProcess> load();
  void start();
  void end();
  void keep();
  void drop();
  void replace();
  bool wait_for_news(int timeout_ms);
  int failures();
  uint64_t pause_ns() const;

  const std::string model_, instance_;
  std::string group_;
  const Arguments arguments_;
  const std::shared_ptr<Spares> spares_;
  const Hooks hooks_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<ModelProcess> process_;
  bool is_lost_ = false;                   // the process is there and of no use
  std::atomic<bool> has_worked_{false};    // since it was started
  int failures_ = 0;              // ends and failed starts since one worked
  uint64_t lost_ns_ = 0;          // when the last one ended
  uint64_t next_ns_ = 0;          // when the next one is started
  std::string reason_;            // why there is none
  int stop_event_ = -1;
  std::thread thread_;
};

}  // namespace photofinish
