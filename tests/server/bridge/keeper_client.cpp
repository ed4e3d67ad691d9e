// A model process that is lost while somebody still holds it: whether the next one begins only when it has ended.
//
// Words: a Python, a script for the model process.

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <string>

#include "keeper.h"

using photofinish::Keeper;
using photofinish::ModelProcess;
using photofinish::Spares;

int main(int count, char** words) {
  if (count != 3) return 2;
  pid_t first = 0;
  std::atomic<pid_t> second{0};
  std::atomic<bool> was_there{false};
  const auto adopt = [&](ModelProcess* process) {
    if (process == nullptr || first == 0) return;
    was_there = kill(first, 0) == 0;  // one that nobody has reaped counts, too
    second = process->pid();
  };
  Keeper keeper("model", "model_0", "", {}, std::make_shared<Spares>(words[1], words[2]),
                Keeper::Hooks{adopt, [](bool, const std::string&) {}});
  std::shared_ptr<ModelProcess> held;
  {
    auto lock = keeper.lock();
    std::string why;
    held = keeper.process(lock, why);
    first = held->pid();
    keeper.lost(*held, "gave no answer");
  }
  for (int i = 0; i < 20000 && second == 0; ++i) usleep(1000);
  std::printf("%s\n", second == 0 ? "no other one came" : was_there ? "beside the first" : "after the first");
  return 0;
}
