/* The entry points of a target's program. */
#ifndef THINDM_TESTS_FUZZ_ENTRY_H
#define THINDM_TESTS_FUZZ_ENTRY_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
/* Frees what the target kept between inputs. */
void fuzz_finish(void);

#endif
