// The boxes of an answer's rows: the strong and finite ones, best first, in the source picture's pixels; the very values
// of photofinish/detections.py, in one pass instead of twenty calls of numpy.

#include <algorithm>
#include <cmath>
#include <cstdint>

// `rows` has `count` rows of x1, y1, x2, y2, confidence, class, `stride` floats from row to row. Room for `count` in
// `boxes` (four each), `confidence` and `classes`. Gives how many there are.
extern "C" __attribute__((visibility("default"))) int64_t photofinish_rows(
    const float* rows, int64_t count, int64_t stride, float least, float left, float top, float scale, float width,
    float height, float* boxes, float* confidence, int32_t* classes) {
  int64_t found = 0;
  for (int64_t index = 0; index < count; ++index) {
    const float* row = rows + index * stride;
    if (!(row[4] >= least && row[4] > 0)) continue;
    bool finite = true;
    for (int column = 0; column < 6; ++column) finite = finite && std::isfinite(row[column]);
    if (!finite) continue;
    // Models give the best first, so that nothing moves; equal ones keep their order.
    int64_t place = found++;
    for (; place > 0 && confidence[place - 1] < row[4]; --place) {
      std::copy_n(boxes + 4 * (place - 1), 4, boxes + 4 * place);
      confidence[place] = confidence[place - 1];
      classes[place] = classes[place - 1];
    }
    const float offset[] = {left, top, left, top}, limit[] = {width, height, width, height};
    for (int side = 0; side < 4; ++side) {
      const float value = (row[side] - offset[side]) / scale;
      boxes[4 * place + side] = std::min(std::max(value, 0.0f), limit[side]);
    }
    confidence[place] = row[4];
    classes[place] = static_cast<int32_t>(std::nearbyint(row[5]));
  }
  return found;
}
