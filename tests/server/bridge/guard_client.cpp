// Memory that is taken away while it is copied, and while another thread reads it in place.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include "guard.h"

using photofinish::copy_guarded;

#define EXPECT(condition)                                     \
  if (!(condition)) {                                         \
    std::printf("line %d: not %s\n", __LINE__, #condition);   \
    return 1;                                                 \
  }

int main() {
  constexpr size_t kSize = 64 * 4096;
  const int file = memfd_create("region", 0);
  EXPECT(ftruncate(file, kSize) == 0);
  auto* memory = static_cast<unsigned char*>(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
  std::memset(memory, 7, kSize);
  std::vector<unsigned char> own(kSize);
  EXPECT(copy_guarded(own.data(), memory, kSize) && own.back() == 7);
  EXPECT(copy_guarded(own.data(), nullptr, 0));
  EXPECT(ftruncate(file, kSize / 2) == 0);
  EXPECT(!copy_guarded(own.data(), memory, kSize));
  EXPECT(!copy_guarded(memory, own.data(), kSize));
  EXPECT(copy_guarded(own.data(), memory, kSize / 2));

  // Read in place, as an engine's threads do.
  EXPECT(photofinish_lost_count == 0);
  EXPECT(!photofinish_watch(0, kSize) && photofinish_watch(reinterpret_cast<uint64_t>(memory), kSize));
  EXPECT(!photofinish_is_lost(reinterpret_cast<uint64_t>(memory)));
  std::atomic<int> wrong{0};
  std::vector<std::thread> readers;
  for (int reader = 0; reader < 4; ++reader)
    readers.emplace_back([&] {
      for (size_t at = 0; at < kSize; at += 64) wrong += memory[at] != (at < kSize / 2 ? 7 : 0);
    });
  for (auto& reader : readers) reader.join();
  EXPECT(wrong == 0);
  EXPECT(photofinish_lost_count >= 1 && photofinish_is_lost(reinterpret_cast<uint64_t>(memory)));
  photofinish_unwatch(reinterpret_cast<uint64_t>(memory));
  EXPECT(!photofinish_is_lost(reinterpret_cast<uint64_t>(memory)));

  // A client that shrinks and grows again and again, beside threads that copy.
  EXPECT(ftruncate(file, kSize) == 0);
  void* fresh = mmap(memory, kSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
  EXPECT(fresh == memory);
  std::atomic<bool> is_over{false};
  std::thread attacker([&] {
    while (!is_over && ftruncate(file, 0) == 0 && ftruncate(file, kSize) == 0) {
    }
  });
  std::vector<std::thread> copiers;
  for (int copier = 0; copier < 3; ++copier)
    copiers.emplace_back([&] {
      std::vector<unsigned char> target(kSize);
      for (int i = 0; i < 2000; ++i) copy_guarded(target.data(), memory, kSize);
    });
  for (auto& copier : copiers) copier.join();
  is_over = true;
  attacker.join();

  // What is nobody's still ends the process.
  EXPECT(ftruncate(file, 0) == 0);
  std::printf("all is right\n");
  std::fflush(stdout);
  return *const_cast<volatile unsigned char*>(memory);
}
