// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs a program that its environment tells which domains there are, as the tests of a
 * kernel tree are told: with-domains PROGRAM
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "domain.h"

#define VCPUS 3

static void name(const char *variable, int number)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", number);
	setenv(variable, text, 1);
}

static int run(const char *program, int dom, int pv)
{
	int status;

	name("XEN_DOMID", dom);
	name("XEN_VCPUS", VCPUS);
	name("XEN_PV_DOMID", pv);
	status = system(program);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int created(enum domain_type type)
{
	int dom = domain_create(type, VCPUS);

	if (dom < 0)
		fprintf(stderr, "with-domains: no domain: %s\n", strerror(-dom));
	return dom;
}

int main(int argc, char **argv)
{
	int dom, pv, status = 1;

	if (argc != 2) {
		fprintf(stderr, "usage: with-domains PROGRAM\n");
		return 2;
	}
	dom = created(DOMAIN_HVM);
	pv = created(DOMAIN_PV);
	if (dom > 0 && pv > 0)
		status = run(argv[1], dom, pv);
	if (dom > 0)
		domain_destroy(dom);
	if (pv > 0)
		domain_destroy(pv);
	return status;
}
