// What memory that a client may take away meanwhile can do: end this process by SIGBUS. Here it does not.
//
// The same code is a library of its own for the model processes, which let their engines read clients' memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace photofinish {

// Copies one way or the other between this process's own memory and a client's; false when a part of the client's is
// gone. What was copied until then stays.
bool copy_guarded(void* target, const void* source, size_t size);

}  // namespace photofinish

// For model processes, by ctypes. Whatever an engine reads in a watched range where the file has ended is zero; what is
// read from then on is no longer the client's, so its request must be refused.
extern "C" {

// Begins to watch; 0 when too many ranges are watched, or SIGBUS cannot be handled.
int photofinish_watch(uint64_t start, uint64_t byte_size);
void photofinish_unwatch(uint64_t start);
// Whether a part of the range was gone.
int photofinish_is_lost(uint64_t start);
// How often that happened in this process.
extern uint32_t photofinish_lost_count;
}
