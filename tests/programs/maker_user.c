// A library that needs another one beside it, which the loader finds by $ORIGIN.
extern int g_maker_user_is_loaded;
void ReleaseBlock(void* block);
int g_maker_user_is_loaded = 1;
void UseMaker(void* block);
void UseMaker(void* block) { ReleaseBlock(block); }
