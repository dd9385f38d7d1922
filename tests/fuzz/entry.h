/* The entry points of a target's program. */
#ifndef THINDM_TESTS_FUZZ_ENTRY_H
#define THINDM_TESTS_FUZZ_ENTRY_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
/* Frees what the target kept between inputs. */
void fuzz_finish(void);
/* An input from text, for this program's target. */
size_t fuzz_entry_assemble(const char *path, uint8_t *out, size_t size);

#endif
