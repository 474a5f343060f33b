// A library that allocates and frees for others.
#include <stdlib.h>

void* MakeBlock(size_t size);
void ReleaseBlock(void* block);
void* MakeBlock(size_t size) { return malloc(size); }
void ReleaseBlock(void* block) { free(block); }
