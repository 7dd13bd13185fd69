# frozen_string_literal: true

# Has sslyze and testssl.sh look at a server of this library. bin/tls-audit builds, installs, and
# calls this.

require "eventmachine"
require "optparse"
require "rbconfig"
require "tmpdir"
require_relative "../autobahn/echo_server"
require_relative "../support/drafts"
require_relative "../support/raw_client"
require_relative "authority"
require_relative "sslyze"
require_relative "testssl"

module TlsAudit
  # One server a kind of key, and what the tools make of each.
  class Audit
    TRIES = 2

    def initialize(arguments)
      parser = OptionParser.new do |options|
        options.banner = "Usage: bin/tls-audit [options]"
        options.on("--quick", "sslyze only: seconds, where testssl.sh takes minutes") do
          @quick = true
        end
      end
      parser.parse!(arguments)
      abort parser.help if arguments.any?
    end

    # True if nothing was found.
    def run
      since = now
      reports = Dir.mktmpdir("tls-audit") { |directory| audit_all(directory) }
      puts Table.new(reports), ""
      findings = reports.flat_map { |kind, each| findings_of(kind, each) }
      puts format("%<what>s, in %<seconds>.0f s.",
                  what: findings.empty? ? "Nothing was found" : "This was found",
                  seconds: now - since)
      puts findings
      findings.empty?
    end

    private

    def audit_all(directory)
      authority = Authority.new(directory)
      threads = Authority::KEYS.keys.map do |kind|
        Thread.new do
          Thread.current.report_on_exception = false
          [kind, audit(kind, authority, directory)]
        end
      end
      threads.to_h(&:value)
    end

    def audit(kind, authority, directory)
      server = [File.join(__dir__, "server.rb"), *authority.issue(kind)]
      EchoServer.new(RbConfig.ruby, "-I", EchoServer::LIBRARY, *server, tls: true).serve do |url|
        port = url[/\d+\z/].to_i
        with_bystander(port) { reports(kind, port, authority.file, directory) }
      end
    end

    # A connection from before the audit must still be there after it.
    def with_bystander(port)
      bystander = RawClient.open(port, tls: true)
      result = yield
      bystander.text("still here")
      heard = bystander.read_text
      raise Failed, "a connection from before the audit hears #{heard}" if heard != "still here"

      result
    ensure
      bystander&.disconnect
    end

    def reports(kind, port, authority_file, directory)
      algorithm = kind[/\A\w+/]
      reports = [conclusive do
                   Sslyze.audit(port, authority_file, file(directory)).report(algorithm)
                 end]
      reports << conclusive { Testssl.audit(port, authority_file, file(directory)).report } unless
        @quick
      reports
    end

    # Tries again where a tool could not find out, as on a machine that has too much to do.
    def conclusive
      report = nil
      TRIES.times do
        report = yield
        break unless report.inconclusive?
      end
      report
    end

    def file(directory) = File.join(directory, "report-#{rand(2**64)}.json")

    def findings_of(kind, reports)
      reports.flat_map do |report|
        report.findings.map { |finding| "  #{report.tool}, #{kind}: #{finding}" }
      end
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  # The results of one tool below those of another, and those of one server beside those of another.
  class Table
    WIDTH = 34

    # Reports of the same tools, by the kind of the server's key.
    def initialize(reports)
      @kinds = reports.keys
      @tools = reports.values.transpose
    end

    def to_s
      [row("", @kinds), *@tools.flat_map { |reports| lines(reports) }].join("\n")
    end

    private

    def lines(reports)
      checks = reports.flat_map { |report| report.results.keys }.uniq
      results = checks.map { |check| row("  #{check}", reports.map { |one| one.results[check] }) }
      ignored = reports.flat_map(&:ignored).map { |finding, reason| "  #{finding}\n    #{reason}" }
      ["", reports.first.tool, *results, *("  Ignored:" if ignored.any?), *ignored.uniq]
    end

    def row(first, others)
      cells = others.map { |cell| cell.to_s.tr("\n", " ")[0, WIDTH].ljust(WIDTH) }
      [first.ljust(26), *cells].join("  ").rstrip
    end
  end
end

begin
  exit(TlsAudit::Audit.new(ARGV).run)
rescue TlsAudit::Failed, EchoServer::Failed => e
  abort e.message
end
