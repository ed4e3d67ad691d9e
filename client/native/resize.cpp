// Pictures resized, with blue and red exchanged, in one pass on the calling thread: the values of OpenCV's INTER_LINEAR
// and COLOR_BGR2RGB for every size. Pictures come cold from another core's cache or from memory, so rows are asked for
// before they are needed: that, not arithmetic, is most of the time.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

// One row from the two rows around its centre; `upper` and `lower` point at the first pixel of the pair.
void pairs_plain(const uint8_t* upper, const uint8_t* lower, uint8_t* out, int64_t first, int64_t width, int64_t step) {
  for (int64_t x = first; x < width; ++x) {
    const uint8_t *a = upper + step * x, *b = lower + step * x;
    for (int c = 0; c < 3; ++c) out[3 * x + 2 - c] = static_cast<uint8_t>((a[c] + a[3 + c] + b[c] + b[3 + c] + 2) >> 2);
  }
}

// One row from the pixels at its centres; `row` points at the first of them.
void centres_plain(const uint8_t* row, uint8_t* out, int64_t first, int64_t width, int64_t step) {
  for (int64_t x = first; x < width; ++x) {
    const uint8_t blue = row[step * x], green = row[step * x + 1], red = row[step * x + 2];
    out[3 * x] = red;
    out[3 * x + 1] = green;
    out[3 * x + 2] = blue;
  }
}

// Where a row or column of the result lies between two of the source, in 2048ths as OpenCV has them.
struct Place {
  using Weights = std::array<int16_t, 2>;
  int32_t first;
  Weights weights;
};

std::vector<Place> places_from_sizes(int64_t count, int64_t source, bool is_row) {
  const double scale = 1.0 / (static_cast<double>(count) / static_cast<double>(source));
  std::vector<Place> places(count);
  for (int64_t at = 0; at < count; ++at) {
    float beyond = static_cast<float>((static_cast<double>(at) + 0.5) * scale - 0.5);
    int32_t first = static_cast<int32_t>(std::floor(beyond));
    beyond -= static_cast<float>(first);
    if (is_row && first < 0) first = 0, beyond = 0;
    if (is_row && first >= source - 1) first = static_cast<int32_t>(source - 1), beyond = 0;
    places[at].first = first;
    places[at].weights[0] = static_cast<int16_t>(std::lrintf((1.0f - beyond) * 2048.0f));
    places[at].weights[1] = static_cast<int16_t>(std::lrintf(beyond * 2048.0f));
  }
  return places;
}

constexpr int64_t kLanes = 4;  // A pixel of a row between: three channels of 16 bits and one that is not used.

struct Plan {
  int64_t source_width = 0, source_height = 0, width = 0, height = 0;
  std::vector<Place> columns, rows;
  std::vector<Place::Weights> factors;  // those of the columns, once for each lane
  std::vector<int16_t> between[2];
  int64_t held[2] = {-1, -1};

  void prepare(int64_t source_w, int64_t source_h, int64_t w, int64_t h) {
    held[0] = held[1] = -1;
    if (source_w == source_width && source_h == source_height && w == width && h == height) return;
    columns = places_from_sizes(w, source_w, true);
    rows = places_from_sizes(h, source_h, false);
    factors.clear();
    for (const Place& place : columns) factors.insert(factors.end(), kLanes, place.weights);
    for (auto& row : between) row.assign(kLanes * (w + 8), 0);
    source_width = source_w, source_height = source_h, width = w, height = h;
  }
};

void across_plain(const uint8_t* row, const Plan& plan, int16_t* out, int64_t first) {
  for (int64_t x = first; x < plan.width; ++x) {
    const Place& place = plan.columns[x];
    const uint8_t* at = row + 3 * place.first;
    const int64_t next = place.weights[1] ? 3 : 0;
    for (int c = 0; c < 3; ++c) {
      out[kLanes * x + 2 - c] =
          static_cast<int16_t>((at[c] * place.weights[0] + at[next + c] * place.weights[1]) >> 4);
    }
  }
}

void down_plain(const int16_t* upper, const int16_t* lower, const Place& place, uint8_t* out, int64_t first,
                int64_t width) {
  for (int64_t x = first; x < width; ++x) {
    for (int c = 0; c < 3; ++c) {
      const int sum = ((place.weights[0] * upper[kLanes * x + c]) >> 16) +
                      ((place.weights[1] * lower[kLanes * x + c]) >> 16);
      out[3 * x + c] = static_cast<uint8_t>((sum + 2) >> 2);
    }
  }
}

#if defined(__x86_64__)

#define WIDE __attribute__((target("avx2")))

WIDE inline void ask_for(const uint8_t* at) { _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T0); }

// Of 16 bytes the pairs of two neighbours' channels, exchanged; `apart` is where the second pair begins.
WIDE inline __m128i pair_shuffle(char apart) {
  const char b = apart;
  return _mm_setr_epi8(2, 5, 1, 4, 0, 3, b + 2, b + 5, b + 1, b + 4, b, b + 3, -1, -1, -1, -1);
}

WIDE inline __m256i eight_pixels(const uint8_t* at) {
  const __m128i left = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  const __m128i right = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 12));
  return _mm256_inserti128_si256(_mm256_castsi128_si256(left), right, 1);
}

WIDE inline __m128i two_pairs(const uint8_t* at, int64_t step) {
  const __m128i left = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at));
  return _mm_unpacklo_epi64(left, _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at + step)));
}

// `ahead`: bytes from here to the rows that are asked for now.
WIDE void halved(const uint8_t* upper, const uint8_t* lower, uint8_t* out, int64_t width, int64_t ahead) {
  const __m256i shuffle = _mm256_broadcastsi128_si256(pair_shuffle(6));
  const __m256i ones = _mm256_set1_epi8(1), two = _mm256_set1_epi16(2);
  int64_t x = 0;
  // Four pixels are written with two bytes behind them, and read with four: two pixels must follow.
  for (; x + 6 <= width; x += 4) {
    ask_for(upper + 6 * x + ahead);
    ask_for(lower + 6 * x + ahead);
    const __m256i a = _mm256_maddubs_epi16(_mm256_shuffle_epi8(eight_pixels(upper + 6 * x), shuffle), ones);
    const __m256i b = _mm256_maddubs_epi16(_mm256_shuffle_epi8(eight_pixels(lower + 6 * x), shuffle), ones);
    const __m256i mean = _mm256_srli_epi16(_mm256_add_epi16(_mm256_add_epi16(a, b), two), 2);
    const __m256i bytes = _mm256_packus_epi16(mean, mean);
    const int64_t left = _mm256_extract_epi64(bytes, 0), right = _mm256_extract_epi64(bytes, 2);
    std::memcpy(out + 3 * x, &left, 8);
    std::memcpy(out + 3 * x + 6, &right, 8);
  }
  pairs_plain(upper, lower, out, x, width, 6);
}

WIDE void pairs_wide(const uint8_t* upper, const uint8_t* lower, uint8_t* out, int64_t width, int64_t step,
                     int64_t ahead) {
  const __m128i shuffle = pair_shuffle(8);
  const __m128i ones = _mm_set1_epi8(1), two = _mm_set1_epi16(2);
  int64_t x = 0;
  // Two pixels are written with two bytes behind them: one must follow.
  for (; x + 3 <= width; x += 2) {
    ask_for(upper + step * x + ahead);
    ask_for(lower + step * x + ahead);
    const __m128i a = _mm_maddubs_epi16(_mm_shuffle_epi8(two_pairs(upper + step * x, step), shuffle), ones);
    const __m128i b = _mm_maddubs_epi16(_mm_shuffle_epi8(two_pairs(lower + step * x, step), shuffle), ones);
    const __m128i mean = _mm_srli_epi16(_mm_add_epi16(_mm_add_epi16(a, b), two), 2);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + 3 * x), _mm_packus_epi16(mean, mean));
  }
  pairs_plain(upper, lower, out, x, width, step);
}

WIDE inline int32_t four_bytes(const uint8_t* at) {
  int32_t bytes;
  std::memcpy(&bytes, at, 4);
  return bytes;
}

WIDE void exchanged(const uint8_t* row, uint8_t* out, int64_t width, int64_t ahead) {
  const __m128i shuffle = _mm_setr_epi8(2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9, 14, 13, 12, -1);
  int64_t x = 0;
  // Five pixels are read and written with one byte behind them: one pixel must follow.
  for (; x + 6 <= width; x += 5) {
    ask_for(row + 3 * x + ahead);
    const __m128i five = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + 3 * x));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 3 * x), _mm_shuffle_epi8(five, shuffle));
  }
  centres_plain(row, out, x, width, 3);
}

WIDE void centres_wide(const uint8_t* row, uint8_t* out, int64_t width, int64_t step, int64_t ahead) {
  const __m128i shuffle = _mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
  int64_t x = 0;
  // Four pixels are written with four bytes behind them, and read with one: two pixels must follow.
  for (; x + 6 <= width; x += 4) {
    const uint8_t* at = row + step * x;
    ask_for(at + ahead);
    const __m128i four = _mm_setr_epi32(four_bytes(at), four_bytes(at + step), four_bytes(at + 2 * step),
                                        four_bytes(at + 3 * step));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 3 * x), _mm_shuffle_epi8(four, shuffle));
  }
  centres_plain(row, out, x, width, step);
}

WIDE inline __m256i two_places(const uint8_t* row, const Place* places, const Place::Weights* weights) {
  const __m128i left = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + 3 * places[0].first));
  const __m128i right = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + 3 * places[1].first));
  const __m256i bytes = _mm256_inserti128_si256(_mm256_castsi128_si256(left), right, 1);
  const __m256i spread = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(2, -1, 5, -1, 1, -1, 4, -1, 0, -1, 3, -1, -1, -1, -1, -1));
  const __m256i factors = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
  return _mm256_srai_epi32(_mm256_madd_epi16(_mm256_shuffle_epi8(bytes, spread), factors), 4);
}

WIDE void across_wide(const uint8_t* row, const Plan& plan, int16_t* out, int64_t ahead) {
  int64_t x = 0;
  // Eight bytes are read at each place; the last places lie too near to the row's end.
  const int32_t last = static_cast<int32_t>(plan.source_width - 3);
  for (; x + 4 <= plan.width && plan.columns[x + 3].first <= last; x += 4) {
    const Place* places = &plan.columns[x];
    ask_for(row + 3 * places[0].first + ahead);
    const Place::Weights* weights = &plan.factors[kLanes * x];
    const __m256i both = _mm256_packs_epi32(two_places(row, places, weights),
                                            two_places(row, places + 2, weights + 2 * kLanes));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + kLanes * x), _mm256_permute4x64_epi64(both, 0xD8));
  }
  across_plain(row, plan, out, x);
}

WIDE void down_wide(const int16_t* upper, const int16_t* lower, const Place& place, uint8_t* out, int64_t width) {
  const __m256i first = _mm256_set1_epi16(place.weights[0]), second = _mm256_set1_epi16(place.weights[1]);
  const __m256i two = _mm256_set1_epi16(2);
  const __m128i packed = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
  int64_t x = 0;
  // Four pixels are written with four bytes behind them: two pixels must follow.
  for (; x + 6 <= width; x += 4) {
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(upper + kLanes * x));
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lower + kLanes * x));
    const __m256i sum = _mm256_add_epi16(_mm256_mulhi_epi16(a, first), _mm256_mulhi_epi16(b, second));
    const __m256i mean = _mm256_srai_epi16(_mm256_add_epi16(sum, two), 2);
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(mean), _mm256_extracti128_si256(mean, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 3 * x), _mm_shuffle_epi8(bytes, packed));
  }
  down_plain(upper, lower, place, out, x, width);
}

bool has_avx2() { return __builtin_cpu_supports("avx2"); }

#else

bool has_avx2() { return false; }
void halved(const uint8_t*, const uint8_t*, uint8_t*, int64_t, int64_t) {}
void pairs_wide(const uint8_t*, const uint8_t*, uint8_t*, int64_t, int64_t, int64_t) {}
void exchanged(const uint8_t*, uint8_t*, int64_t, int64_t) {}
void centres_wide(const uint8_t*, uint8_t*, int64_t, int64_t, int64_t) {}
void across_wide(const uint8_t*, const Plan&, int16_t*, int64_t) {}
void down_wide(const int16_t*, const int16_t*, const Place&, uint8_t*, int64_t) {}

#endif

void by_factor(const uint8_t* source, int64_t source_stride, uint8_t* out, int64_t out_stride, int64_t width,
               int64_t height, int64_t factor, bool vectors) {
  const int64_t step = 3 * factor, ahead = 2 * factor * source_stride;
  for (int64_t y = 0; y < height; ++y, out += out_stride) {
    if (factor % 2) {
      const uint8_t* row = source + (y * factor + factor / 2) * source_stride + 3 * (factor / 2);
      if (!vectors) {
        centres_plain(row, out, 0, width, step);
      } else if (factor == 1) {
        exchanged(row, out, width, ahead);
      } else {
        centres_wide(row, out, width, step, ahead);
      }
      continue;
    }
    const uint8_t* upper = source + (y * factor + factor / 2 - 1) * source_stride + 3 * (factor / 2 - 1);
    const uint8_t* lower = upper + source_stride;
    if (!vectors) {
      pairs_plain(upper, lower, out, 0, width, step);
    } else if (factor == 2) {
      halved(upper, lower, out, width, ahead);
    } else {
      pairs_wide(upper, lower, out, width, step, ahead);
    }
  }
}

// The row of the source, resized in its width; of the two that are held the one that is needed no more gives way.
const int16_t* row_between(Plan& plan, const uint8_t* source, int64_t stride, int64_t row, int64_t other, bool vectors,
                           int64_t ahead) {
  row = std::clamp<int64_t>(row, 0, plan.source_height - 1);
  for (int slot = 0; slot < 2; ++slot) {
    if (plan.held[slot] == row) return plan.between[slot].data();
  }
  const int slot = plan.held[0] == std::clamp<int64_t>(other, 0, plan.source_height - 1) ? 1 : 0;
  int16_t* out = plan.between[slot].data();
  const uint8_t* at = source + row * stride;
  vectors ? across_wide(at, plan, out, ahead) : across_plain(at, plan, out, 0);
  plan.held[slot] = row;
  return out;
}

void by_places(const uint8_t* source, int64_t source_stride, uint8_t* out, int64_t out_stride, Plan& plan,
               bool vectors) {
  for (int64_t y = 0; y < plan.height; ++y, out += out_stride) {
    const Place& place = plan.rows[y];
    // Where rows are left out, those of the next pair; else the one after the next.
    const int64_t step = plan.rows[std::min(y + 1, plan.height - 1)].first - place.first;
    const int64_t ahead = source_stride * std::max<int64_t>(2, step);
    const int16_t* upper = row_between(plan, source, source_stride, place.first, place.first + 1, vectors, ahead);
    const int16_t* lower = row_between(plan, source, source_stride, place.first + 1, place.first, vectors, ahead);
    vectors ? down_wide(upper, lower, place, out, plan.width) : down_plain(upper, lower, place, out, 0, plan.width);
  }
}

}  // namespace

// `source` has `source_height` rows of `source_width` pixels of three bytes, `out` has `height` of `width`; strides are
// bytes from row to row. `wide` 0 does without the processor's vectors.
extern "C" __attribute__((visibility("default"))) void photofinish_resize(
    const uint8_t* source, int64_t source_stride, int64_t source_width, int64_t source_height, uint8_t* out,
    int64_t out_stride, int64_t width, int64_t height, int64_t wide) {
  const bool vectors = wide && has_avx2();
  const int64_t factor = source_width / width;
  if (factor >= 1 && source_width == factor * width && source_height == factor * height) {
    by_factor(source, source_stride, out, out_stride, width, height, factor, vectors);
    return;
  }
  thread_local Plan plan;
  plan.prepare(source_width, source_height, width, height);
  by_places(source, source_stride, out, out_stride, plan, vectors);
}
