// SPDX-License-Identifier: GPL-2.0
/* The output of --json. */
#include <math.h>
#include <stdio.h>

#include "json.h"
#include "util.h"

/* The members that every answer begins with. */
struct json_object *json_answer(const char *command)
{
	struct json_object *object = json_object_new_object();

	json_put_number(object, "format", JSON_FORMAT);
	json_put_text(object, "command", command);
	return object;
}

/* NULL and "" become null: unknown, or there is none. */
void json_put_text(struct json_object *object, const char *key, const char *text)
{
	json_object_object_add(object, key,
			       text && *text ? json_object_new_string(text) : NULL);
}

void json_put_number(struct json_object *object, const char *key, uint64_t number)
{
	json_object_object_add(object, key, json_object_new_uint64(number));
}

/* With three digits after the point. */
void json_put_real(struct json_object *object, const char *key, double number)
{
	char text[40];

	number = isfinite(number) ? number : 0;
	snprintf(text, sizeof(text), "%.3f", number);
	json_object_object_add(object, key, json_object_new_double_s(number, text));
}

void json_put_bool(struct json_object *object, const char *key, bool value)
{
	json_object_object_add(object, key, json_object_new_boolean(value));
}

struct json_object *json_put_list(struct json_object *object, const char *key)
{
	struct json_object *list = json_object_new_array();

	json_object_object_add(object, key, list);
	return list;
}

/* A new object at the end of a list. */
struct json_object *json_add_member(struct json_object *list)
{
	struct json_object *object = json_object_new_object();

	json_object_array_add(list, object);
	return object;
}

/* Also frees the object. */
void json_print(struct json_object *object, bool one_line)
{
	int flags = JSON_C_TO_STRING_NOSLASHESCAPE;

	if (!one_line)
		flags |= JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED;
	puts(json_object_to_json_string_ext(object, flags));
	fflush(stdout);
	json_object_put(object);
}
