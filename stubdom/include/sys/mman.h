/* What backends/xen passes to the libraries, which here map readable and writable always. */
#ifndef THINDM_SYS_MMAN_H
#define THINDM_SYS_MMAN_H

enum { PROT_READ = 1, PROT_WRITE = 2 };

#endif
