/* Through a bit-field of 31 bits */
#include "kernel.h"

struct token {
	u32 valid : 1, seq : 31;
};

void take(struct vm *vm, struct token *token)
{
	token->seq = vm->seq;
}

bool current_token(struct vm *vm, struct token *token)
{
	return vm->seq == token->seq;
}
