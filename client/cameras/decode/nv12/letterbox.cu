// NV12 as NVDEC leaves it to a letterboxed picture of interleaved 8-bit RGB, in one pass.
//
// Whole numbers only, so that every GPU, a C++ compiler and the numpy reference (reference.py) give the same bytes.
// Colours are those of FFmpeg's scaler, which the CPU path uses: each product by itself is cut to a whole number. And as
// there each of the four neighbours becomes RGB first, and then they are blended.
// letterbox.ptx is this file compiled; `python -m photofinish.client.cameras.decode.nv12.building` makes it again.

struct Job {
  const unsigned char* luma;
  const unsigned char* chroma;  // U and V in turn, half as many rows
  unsigned char* out;           // target_height x target_width x 3
  int luma_pitch, chroma_pitch;  // bytes from one row to the next
  int source_width, source_height;
  int target_width, target_height;
  int left, top, resized_width, resized_height;
  int step_x, step_y;    // source pixels for each target pixel, in 1 / 2^20
  int start_x, start_y;  // where the first one begins, in 1 / 2^20
  int luma_offset, luma_gain;  // gains in 1 / 2^13
  int v_to_red, u_to_green, v_to_green, u_to_blue;
  int pad;
};

__device__ static int byte_of(int value) {
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

__device__ static void rgb_at(const Job& job, int x, int y, int* rgb) {
  const int luma = (job.luma[(long long)y * job.luma_pitch + x] - job.luma_offset) * job.luma_gain >> 13;
  const unsigned char* chroma = job.chroma + (long long)(y >> 1) * job.chroma_pitch + (x & ~1);
  const int u = chroma[0] - 128, v = chroma[1] - 128;
  rgb[0] = byte_of(luma + (v * job.v_to_red >> 13));
  rgb[1] = byte_of(luma + (u * job.u_to_green >> 13) + (v * job.v_to_green >> 13));
  rgb[2] = byte_of(luma + (u * job.u_to_blue >> 13));
}

// The pixel left of (above) a target pixel's middle, and the weight of the one behind it in 1 / 2048.
__device__ static int neighbour(int at, int step, int start, int count, int* weight) {
  const long long place = (long long)at * step + start;
  const int first = (int)(place >> 20);
  if (first < 0 || first >= count - 1) {
    *weight = 0;
    return first < 0 ? 0 : count - 1;
  }
  *weight = (int)(place >> 9) & 2047;
  return first;
}

extern "C" __global__ void letterbox_nv12(const Job job) {
  const int x = blockIdx.x * blockDim.x + threadIdx.x;
  const int y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x >= job.target_width || y >= job.target_height) return;
  unsigned char* out = job.out + ((long long)y * job.target_width + x) * 3;
  const int inside_x = x - job.left, inside_y = y - job.top;
  if (inside_x < 0 || inside_y < 0 || inside_x >= job.resized_width || inside_y >= job.resized_height) {
    out[0] = out[1] = out[2] = (unsigned char)job.pad;
    return;
  }
  int weight_x, weight_y, a[3], b[3], c[3], d[3];
  const int x0 = neighbour(inside_x, job.step_x, job.start_x, job.source_width, &weight_x);
  const int y0 = neighbour(inside_y, job.step_y, job.start_y, job.source_height, &weight_y);
  const int x1 = x0 + (weight_x != 0), y1 = y0 + (weight_y != 0);
  rgb_at(job, x0, y0, a);
  rgb_at(job, x1, y0, b);
  rgb_at(job, x0, y1, c);
  rgb_at(job, x1, y1, d);
  for (int i = 0; i < 3; ++i) {
    const int above = a[i] * (2048 - weight_x) + b[i] * weight_x;
    const int below = c[i] * (2048 - weight_x) + d[i] * weight_x;
    out[i] = (unsigned char)((above * (2048 - weight_y) + below * weight_y + (1 << 21)) >> 22);
  }
}
