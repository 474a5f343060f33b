/* Bound lazily, so that the first calls go through the PLT stub into the dynamic linker. */
#include <stdlib.h>
#include <string.h>

int MemtraceLazyCallee(int value) { return abs(value) + (int)strlen("lazy"); }
int MemtraceLazyEntry(int value) { return MemtraceLazyCallee(value) + MemtraceLazyCallee(-value); }
