// Runs the whole bridge, without Triton, on requests that no client should make, and on honest ones beside them.
//
// bridge_fuzz FOLDER REPOSITORY CONFIG SEED COUNT MODE: FOLDER holds photofinish_backend/ and the guard's library;
// CONFIG is the file of the model's configuration as Triton gives it. MODE "clients": the model process is ours, honest
// requests must be answered rightly. MODE "process": it writes what it likes into the lane, nothing must be believed.
// bridge_fuzz FOLDER MODELS runs bridge_group.cpp; with a third word its requests on a GPU.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <thread>

#include "fake_triton.h"

int run_group(const std::string& folder, const std::string& models);
int run_gpu(const std::string& folder, const std::string& models);

namespace {

constexpr int kUint8 = 2;
constexpr uint64_t kSide = 64, kPicture = kSide * kSide * 3;
constexpr uint64_t kRows = 8;

std::mt19937_64 chance;
uint64_t below(uint64_t limit) { return chance() % limit; }

// A file in the place of a client's region, as Triton has mapped it.
struct Region {
  explicit Region(uint64_t size) : byte_size(size) {
    name = "photofinish-region-" + std::to_string(getpid()) + "-fuzz-" + std::to_string(chance());
    const std::string path = "/dev/shm/" + name;
    file = open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, static_cast<off_t>(size)) != 0 || flock(file, LOCK_EX) != 0) std::abort();
    unlink(path.c_str());
    memory = static_cast<uint8_t*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
  }
  std::string direct() const {
    struct stat status {};
    fstat(file, &status);
    return std::to_string(getpid()) + "/" + std::to_string(file) + "/" + std::to_string(status.st_ino) + "/" + name;
  }
  std::string name;
  uint64_t byte_size;
  int file;
  uint8_t* memory;
};

std::string mutated(std::string text) {
  const std::string pieces[] = {"/", "//", "-1", "+", " ", "0", "18446744073709551616", "9223372036854775807",
                                std::string(300, '9'), "photofinish-region-", "..", "%n", "\xff\xfe", "\n", "/7"};
  for (uint64_t i = 0, count = 1 + below(3); i < count; ++i) {
    const uint64_t at = below(text.size() + 1);
    switch (below(5)) {
      case 0: text.insert(at, pieces[below(std::size(pieces))]); break;
      case 1: text.erase(at, 1 + below(8)); break;
      case 2: if (at < text.size()) text[at] = static_cast<char>(1 + below(255)); break;
      case 3: text = text.substr(at); break;
      default: text = std::to_string(below(70000)) + "/" + std::to_string(below(70)) + "/" + text; break;
    }
  }
  return text;
}

struct Asked {
  TRITONBACKEND_Request request;
  std::vector<std::vector<uint8_t>> own;  // memory of exactly the size that is said, so that a read beyond is seen
  const uint8_t* expected = nullptr;      // the pictures that must be answered; null where an error is as good
  uint64_t rows = 0;
};

void fill(uint8_t* target, uint64_t size) {
  for (uint64_t i = 0; i < size; i += 8) {
    const uint64_t word = chance();
    std::memcpy(target + i, &word, std::min<uint64_t>(8, size - i));
  }
}

void ask_honestly(Asked& asked, std::vector<std::unique_ptr<Region>>& regions, bool is_mutated) {
  asked.rows = 1 + below(3);
  TRITONBACKEND_Input input{"frames", kUint8, {static_cast<int64_t>(asked.rows), 64, 64, 3}, asked.rows * kPicture, {}};
  if (below(2)) {
    Region& region = *regions[below(regions.size())];
    const uint64_t at = below(kRows - asked.rows + 1) * kPicture;
    asked.expected = region.memory + at;
    const std::string direct = (is_mutated && below(3) == 0) ? regions[below(regions.size())]->direct() : region.direct();
    asked.request.parameters.emplace_back("photofinish_region", is_mutated ? mutated(direct) : direct);
  } else {
    asked.own.emplace_back(asked.rows * kPicture);
    fill(asked.own[0].data(), asked.own[0].size());
    asked.expected = asked.own[0].data();
    if (is_mutated) asked.request.parameters.emplace_back("photofinish_region", regions[0]->direct());
  }
  const uint64_t cut = below(3) ? 0 : below(asked.rows * kPicture);
  if (cut) input.buffers.emplace_back(asked.expected, cut);
  input.buffers.emplace_back(asked.expected + cut, asked.rows * kPicture - cut);
  asked.request.inputs.push_back(input);
}

void ask_wrongly(Asked& asked, Region& attacked) {
  const int64_t strange[] = {0, -1, 1, 63, 65, 1 << 20, int64_t{1} << 62, INT64_MAX, INT64_MIN};
  TRITONBACKEND_Input input{"frames", kUint8, {1 + static_cast<int64_t>(below(2)), 64, 64, 3}, 0, {}};
  input.byte_size = static_cast<uint64_t>(input.shape[0]) * kPicture;
  switch (below(5)) {
    case 0:  // a shape of its own
      for (uint64_t i = 0, count = below(3); i < count; ++i) input.shape[below(4)] = strange[below(std::size(strange))];
      while (below(3) == 0) input.shape.push_back(strange[below(std::size(strange))]);
      if (below(4) == 0) input.shape.resize(below(4));
      break;
    case 1: input.byte_size = below(2) ? below(4 * kPicture) : chance(); break;
    case 2: input.datatype = static_cast<int>(below(20)); break;
    case 3: input.name = "other"; break;
    default: break;
  }
  const uint64_t size = below(4) ? std::min<uint64_t>(input.byte_size, kRows * kPicture) : below(3 * kPicture);
  if (below(2)) {
    input.buffers.emplace_back(attacked.memory, std::min(size, attacked.byte_size));
    asked.request.parameters.emplace_back("photofinish_region", attacked.direct());
  } else {
    asked.own.emplace_back(size);
    input.buffers.emplace_back(asked.own[0].data(), size);
    if (below(3) == 0) input.buffers.emplace_back(nullptr, 0);
  }
  asked.request.inputs.push_back(input);
  if (below(8) == 0) asked.request.inputs.clear();
}

bool is_right(const Asked& asked) {
  const auto found = asked.request.answer.find("detections");
  if (found == asked.request.answer.end() || found->second.bytes.size() != asked.rows * 24) return false;
  for (uint64_t row = 0; row < asked.rows; ++row) {
    double sums[3] = {0, 0, 0};
    for (uint64_t i = 0; i < kPicture; ++i) sums[i % 3] += asked.expected[row * kPicture + i];
    for (int channel = 0; channel < 3; ++channel) {
      float mean = 0;
      std::memcpy(&mean, found->second.bytes.data() + row * 24 + channel * 4, 4);
      if (std::fabs(mean - sums[channel] / (kSide * kSide)) > 0.01) return false;
    }
  }
  return true;
}

}  // namespace

int main(int count, char** words) {
  if (count == 3) return run_group(words[1], words[2]);
  if (count == 4) return run_gpu(words[1], words[2]);
  if (count != 7) return 2;
  std::ifstream config(words[3]);
  TRITONBACKEND_Backend backend{words[1]};
  TRITONBACKEND_Model model{"mean", words[2], {std::istreambuf_iterator<char>(config), {}}, &backend};
  TRITONBACKEND_ModelInstance instance{&model, "mean_0", nullptr};
  chance.seed(std::strtoull(words[4], nullptr, 10));
  const uint64_t wanted = std::strtoull(words[5], nullptr, 10);
  const bool is_hostile_process = std::string(words[6]) == "process";
  if (TRITONSERVER_Error* error = TRITONBACKEND_ModelInstanceInitialize(&instance)) {
    std::printf("no instance: %s\n", error->text.c_str());
    return 1;
  }
  // A round may still be executed while the next one is made.
  std::vector<std::unique_ptr<Region>> regions, other_regions;
  for (int i = 0; i < 3; ++i) regions.push_back(std::make_unique<Region>(kRows * kPicture));
  for (int i = 0; i < 3; ++i) other_regions.push_back(std::make_unique<Region>(kRows * kPicture));
  Region attacked(kRows * kPicture);
  std::atomic<bool> is_over{false};
  std::thread attacker([&] {
    for (bool is_small = false; !is_over; is_small = !is_small) {
      if (ftruncate(attacked.file, is_small ? 0 : static_cast<off_t>(attacked.byte_size)) != 0) return;
      usleep(500);
    }
  });
  uint64_t asked_count = 0, honest = 0, right = 0, refused = 0, strange = 0;
  std::vector<Asked> last;
  const auto check_last = [&] {
    for (const Asked& asked : last) {
      wait_until_released(asked.request);
      ++asked_count;
      strange += asked.request.answers != 1 || asked.request.releases != 1;
      refused += !asked.request.error.empty();
      honest += asked.expected != nullptr;
      right += asked.expected && is_right(asked);
      if (!is_hostile_process && asked.expected && !is_right(asked))
        std::printf("wrong: %s (%zu rows)\n", asked.request.error.c_str(), static_cast<size_t>(asked.rows));
    }
  };
  while (asked_count < wanted) {
    regions.swap(other_regions);
    for (auto& region : regions) fill(region->memory + below(kRows) * kPicture, kPicture);
    std::vector<Asked> round(1 + below(3));
    std::vector<TRITONBACKEND_Request*> requests;
    for (Asked& asked : round) {
      const uint64_t kind = below(3);
      if (kind == 0) ask_wrongly(asked, attacked);
      else ask_honestly(asked, regions, kind == 1);
      asked.request.outputs.assign(below(4) ? 1 : 2, "detections");
      if (asked.expected) asked.request.outputs.resize(1);
      else if (below(4) == 0) asked.request.outputs.push_back("unknown");
      requests.push_back(&asked.request);
    }
    if (TRITONSERVER_Error* error = TRITONBACKEND_ModelInstanceExecute(&instance, requests.data(), requests.size())) {
      std::printf("the bridge gave up: %s\n", error->text.c_str());
      return 1;
    }
    check_last();
    last.swap(round);
  }
  check_last();
  is_over = true;
  attacker.join();
  TRITONBACKEND_ModelInstanceFinalize(&instance);
  std::printf("asked %llu, honest %llu, right %llu, refused %llu, strange %llu, disordered %d\n",
              (unsigned long long)asked_count, (unsigned long long)honest, (unsigned long long)right,
              (unsigned long long)refused, (unsigned long long)strange, disordered_reports());
}
