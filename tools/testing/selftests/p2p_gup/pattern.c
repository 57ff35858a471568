// SPDX-License-Identifier: GPL-2.0
/*
 * Data that identifies its position.
 *
 * The memory may be registers of a device, so it is accessed by aligned 8-byte
 * words, each once.
 */
#include <stdio.h>
#include <string.h>

#include "p2pmem.h"

/* Each word depends on its position: shifted or torn transfers are detected. */
static uint64_t pattern(uint64_t seed, uint64_t where)
{
	uint64_t x = (where / 8 + 1) * 0x9e3779b97f4a7c15 + seed * 0xbf58476d1ce4e5b9;

	x ^= x >> 31;
	return x * 0x94d049bb133111eb;
}

/* Fills with the data of the bytes from offset 'where' on. */
void p2p_fill(void *buf, size_t len, uint64_t seed, uint64_t where)
{
	uint64_t *word = buf;
	size_t i;

	for (i = 0; i < len / 8; i++)
		p2p_store(&word[i], pattern(seed, where + i * 8));
}

/* Returns the offset of the first word that differs from the pattern, or -1. */
ssize_t p2p_differs(const void *buf, size_t len, uint64_t seed, uint64_t where)
{
	const uint64_t *word = buf;
	size_t i;

	for (i = 0; i < len / 8; i++)
		if (p2p_load(&word[i]) != pattern(seed, where + i * 8))
			return i * 8;
	return -1;
}

void p2p_set(void *buf, size_t len, uint64_t word)
{
	uint64_t *p = buf;
	size_t i;

	for (i = 0; i < len / 8; i++)
		p2p_store(&p[i], word);
}

ssize_t p2p_not_set(const void *buf, size_t len, uint64_t word)
{
	const uint64_t *p = buf;
	size_t i;

	for (i = 0; i < len / 8; i++)
		if (p2p_load(&p[i]) != word)
			return i * 8;
	return -1;
}

/* Returns the offset of the first difference, or -1. */
ssize_t p2p_unlike(const void *a, const void *b, size_t len)
{
	const uint64_t *p = a, *q = b;
	size_t i;

	for (i = 0; i < len / 8; i++)
		if (p2p_load(&p[i]) != p2p_load(&q[i]))
			return i * 8;
	return -1;
}

static uint32_t ror(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

/* FIPS 180-4, section 6.2.2 */
static void sha256_block(uint32_t state[8], const unsigned char *data)
{
	static const uint32_t k[64] = {
		0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b,
		0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
		0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7,
		0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
		0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152,
		0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
		0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
		0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
		0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
		0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
		0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
		0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
		0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
	};
	uint32_t w[64], v[8], t1, t2;
	int i;

	for (i = 0; i < 16; i++)
		w[i] = (uint32_t)data[4 * i] << 24 | data[4 * i + 1] << 16 |
		       data[4 * i + 2] << 8 | data[4 * i + 3];
	for (; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] +
		       (ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3) +
		       (ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10);

	memcpy(v, state, sizeof(v));
	for (i = 0; i < 64; i++) {
		t1 = v[7] + (ror(v[4], 6) ^ ror(v[4], 11) ^ ror(v[4], 25)) +
		     ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
		t2 = (ror(v[0], 2) ^ ror(v[0], 13) ^ ror(v[0], 22)) +
		     ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
		memmove(&v[1], &v[0], 7 * sizeof(v[0]));
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (i = 0; i < 8; i++)
		state[i] += v[i];
}

/*
 * Asks the host to check, after the guest has ended, that the drive's image has
 * the data of p2p_fill() at this offset. len is a multiple of the 64 bytes of a
 * SHA-256 block.
 */
void p2p_host_expect(const char *disk, uint64_t offset, size_t len,
		     uint64_t seed)
{
	uint32_t state[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	};
	uint64_t words[8];
	unsigned char *block = (unsigned char *)words;
	size_t i;
	int n;

	for (i = 0; i < len; i += sizeof(words)) {
		p2p_fill(words, sizeof(words), seed, offset + i);
		sha256_block(state, block);
	}
	memset(words, 0, sizeof(words));
	block[0] = 0x80;
	for (n = 0; n < 8; n++)
		block[63 - n] = (uint64_t)len * 8 >> (8 * n);
	sha256_block(state, block);

	printf("# host-expect %s %lu %zu ", disk, offset, len);
	for (n = 0; n < 8; n++)
		printf("%08x", state[n]);
	printf("\n");
	fflush(stdout);
}
