// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sample program does what it says, from within the sandbox that it says.
 */

#include "common.h"
#include "sandbox.h"

#include <sys/mman.h>
#include <sys/ptrace.h>

#define SAMPLE "nr-vcpus"

/* The exit statuses that its help names. */
enum {
	ANSWERED,
	REFUSED,
	BAD_USAGE,
	NO_SANDBOX,
};

#define MAX_ARGS 4

struct outcome {
	int status;
	char out[1024];
	char err[1024];
};

static void collect(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	close(fd);
}

/* Runs the sample; a missing argument ends the list. */
static struct outcome run(const char *const args[MAX_ARGS])
{
	struct outcome outcome = { .status = -1 };
	const char *argv[MAX_ARGS + 2] = { SAMPLE };
	int out = memfd_create("stdout", 0);
	int err = memfd_create("stderr", 0);
	pid_t child;
	int status;

	memcpy(argv + 1, args, MAX_ARGS * sizeof(*args));
	child = fork();
	if (!child) {
		dup2(out, STDOUT_FILENO);
		dup2(err, STDERR_FILENO);
		execv(path_beside_program(SAMPLE), (char **)argv);
		_exit(127);
	}
	if (waitpid(child, &status, 0) == child && WIFEXITED(status))
		outcome.status = WEXITSTATUS(status);
	collect(out, outcome.out, sizeof(outcome.out));
	collect(err, outcome.err, sizeof(outcome.err));
	return outcome;
}

#define RUN(...) run((const char *const [MAX_ARGS]) { __VA_ARGS__ })

static bool is_one_line(const char *output)
{
	const char *newline = strchr(output, '\n');

	return newline && newline > output && !newline[1];
}

FIXTURE(sample)
{
	int dom;
	/* As an argument. */
	char text[16];
};

FIXTURE_SETUP(sample)
{
	self->dom = domain_create(DOMAIN_HVM, 3);
	ASSERT_LT(0, self->dom);
	snprintf(self->text, sizeof(self->text), "%d", self->dom);
}

FIXTURE_TEARDOWN(sample)
{
	EXPECT_EQ(0, domain_destroy(self->dom));
}

/* The exit status for a good question. */
static int answered(void)
{
	return on_stock_driver() || by_nr_vcpus(3) < 0 ? REFUSED : ANSWERED;
}

TEST_F(sample, answers)
{
	struct outcome got = RUN(self->text);

	if (on_stock_driver()) {
		ASSERT_EQ(REFUSED, got.status);
		ASSERT_TRUE(is_one_line(got.err));
		ASSERT_NE(NULL, strstr(got.err, "no such command"));
		SKIP(return, NOT_ON_STOCK);
	}
	if (by_nr_vcpus(3) < 0) {
		ASSERT_EQ(REFUSED, got.status);
		ASSERT_TRUE(is_one_line(got.err));
		ASSERT_NE(NULL, strstr(got.err, "device-model"));
		if (!has_device_models())
			SKIP(return, NO_DEVICE_MODELS);
		return;
	}
	EXPECT_EQ(ANSWERED, got.status);
	EXPECT_STREQ("3\n", got.out);
	EXPECT_STREQ("", got.err);
}

TEST_F(sample, answers_whoever_it_becomes)
{
	ASSERT_EQ(answered(), RUN("-u", "1", self->text).status);
	ASSERT_EQ(answered(), RUN("--uid=4294967294", self->text).status);
	if (on_stock_driver())
		SKIP(return, NOT_ON_STOCK);
}

static bool is_refused(const char *dom, const char *why)
{
	struct outcome got = RUN(dom);

	return got.status == REFUSED && !got.out[0] && is_one_line(got.err) &&
	       strstr(got.err, on_stock_driver() ? "no such command" : why);
}

TEST_F(sample, says_why_it_was_refused)
{
	if (!has_device_models()) {
		ASSERT_TRUE(is_refused("0", "device-model"));
		SKIP(return, on_stock_driver() ? NOT_ON_STOCK : NO_DEVICE_MODELS);
	}
	ASSERT_TRUE(is_refused("0", "no privilege"));
	ASSERT_EQ(0, domain_destroy(self->dom));
	ASSERT_TRUE(is_refused(self->text, "no such domain"));
	self->dom = domain_create(DOMAIN_HVM, 3);
	if (on_stock_driver())
		SKIP(return, NOT_ON_STOCK);
}

TEST_F(sample, says_why_a_pv_domain_was_refused)
{
	int pv;

	if (!domain_can_be(DOMAIN_PV))
		SKIP(return, NO_SUCH_TYPE);
	pv = domain_create(DOMAIN_PV, 2);
	ASSERT_LT(0, pv);
	snprintf(self->text, sizeof(self->text), "%d", pv);
	ASSERT_TRUE(is_refused(self->text, "PV domain"));
	ASSERT_EQ(0, domain_destroy(pv));
	ASSERT_TRUE(is_refused(self->text, "no such domain"));
	if (on_stock_driver())
		SKIP(return, NOT_ON_STOCK);
}

TEST_F(sample, takes_no_bad_arguments)
{
	static const char *const bad[][MAX_ARGS] = {
		{}, { "" }, { "x" }, { "1x" }, { "0x1" }, { " 1" }, { "+1" },
		{ "-1" }, { "1", "2" }, { "32752" }, { "99999999999999999999" },
		{ "-u", "0", "1" }, { "-u", "x", "1" }, { "-u", "-1", "1" },
		{ "-u", "4294967295", "1" }, { "-u" }, { "--uid" },
		{ "-x", "1" }, { "--no-such-option", "1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct outcome got = run(bad[i]);

		EXPECT_EQ(BAD_USAGE, got.status) {
			TH_LOG("arguments no. %zu", i);
		}
		EXPECT_STREQ("", got.out);
		EXPECT_TRUE(is_one_line(got.err)) {
			TH_LOG("arguments no. %zu: %s", i, got.err);
		}
	}
}

TEST_F(sample, has_help)
{
	struct outcome got = RUN("--help");

	EXPECT_EQ(0, got.status);
	EXPECT_EQ(0, strncmp(got.out, "Usage: nr-vcpus ", 16));
	EXPECT_NE(NULL, strstr(got.out, "Exit status: "));
	EXPECT_STREQ("", got.err);
}

TEST_F(sample, needs_root_to_begin_with)
{
	pid_t child = fork();
	int status;

	ASSERT_LE(0, child);
	if (!child) {
		struct outcome got;

		if (sandbox_drop_root())
			_exit(1);
		got = RUN(self->text);
		_exit(got.status != NO_SANDBOX || got.out[0] ||
		      !is_one_line(got.err) ||
		      !strstr(got.err, "Permission denied"));
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

/* Seen at the end of the process, since nothing of it can be undone. */
TEST_F(sample, is_in_its_sandbox)
{
	pid_t child = fork();
	int status;

	ASSERT_LE(0, child);
	if (!child) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		execl(path_beside_program(SAMPLE), SAMPLE, "-u", "1234",
		      self->text, NULL);
		_exit(127);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(0, ptrace(PTRACE_SETOPTIONS, child, NULL,
			    PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL));
	ASSERT_EQ(0, ptrace(PTRACE_CONT, child, NULL, NULL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(SIGTRAP | PTRACE_EVENT_EXIT << 8, status >> 8);

	EXPECT_STREQ("1234\t1234\t1234\t1234", proc_status(child, "Uid"));
	EXPECT_STREQ("1234\t1234\t1234\t1234", proc_status(child, "Gid"));
	EXPECT_STREQ("", proc_status(child, "Groups"));
	EXPECT_STREQ("0000000000000000", proc_status(child, "CapPrm"));
	EXPECT_STREQ("0000000000000000", proc_status(child, "CapEff"));
	EXPECT_STREQ("0000000000000000", proc_status(child, "CapInh"));
	EXPECT_STREQ("0000000000000000", proc_status(child, "CapAmb"));
	EXPECT_STREQ("1", proc_status(child, "NoNewPrivs"));
	EXPECT_STREQ("2", proc_status(child, "Seccomp"));

	ASSERT_EQ(0, ptrace(PTRACE_CONT, child, NULL, NULL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(answered(), WEXITSTATUS(status));
}

TEST_HARNESS_MAIN
