/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The output of --json. Its schema is p2pctl.schema.json.
 */
#ifndef P2P_JSON_H
#define P2P_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#define JSON_FORMAT 1

struct json_object *json_answer(const char *command);
void json_put_text(struct json_object *object, const char *key, const char *text);
void json_put_number(struct json_object *object, const char *key, uint64_t number);
void json_put_real(struct json_object *object, const char *key, double number);
void json_put_bool(struct json_object *object, const char *key, bool value);
struct json_object *json_put_list(struct json_object *object, const char *key);
struct json_object *json_add_member(struct json_object *list);
void json_print(struct json_object *object, bool one_line);

#endif
