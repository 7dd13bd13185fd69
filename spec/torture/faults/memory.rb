# frozen_string_literal: true

require "open3"
require "tmpdir"
require_relative "../memcheck_report"
require_relative "../visitor"

module Torture
  # A short run of a server under valgrind.
  class Memcheck < Fault
    fault "memcheck", "a server under valgrind's memcheck", quick: false, limit: 900

    PROGRAM = File.expand_path("../echo_server.rb", __dir__)
    ROUNDS = 3

    def run
      return leave_out("memcheck", "there is no valgrind") unless program?("valgrind")

      Dir.mktmpdir("memcheck") { |directory| try(File.join(directory, "report.xml")) }
    end

    private

    def try(path)
      messages = nil
      command = ["valgrind", "--xml=yes", "--xml-file=#{path}", "--leak-check=full",
                 "--show-leak-kinds=definite", "--num-callers=40", RbConfig.ruby, "-I",
                 ServerProcess::LIBRARY, PROGRAM]
      Open3.popen2(*command, err: File::NULL) do |input, output, process|
        messages = converse(output.gets.split.map(&:to_i))
        input.close
        promise "the server ends well", process.value.success?.to_s, equals: "true"
      end
      tell "messages echoed, all drafts, TLS, compressed", messages
      report(MemcheckReport.new(path))
    end

    def converse(ports)
      random = Random.new(3190)
      visitors = Visitor::KINDS.map { |kind| Visitor.new(kind, ports, random) }
      Visitor.patiently do
        ROUNDS.times { visitors.each { |visitor| visitor.talk {} } }
        visitors.each { |visitor| visitor.leave(:disconnect) }
      end
      visitors.flat_map(&:echoed).sum(&:count)
    end

    def report(found)
      tell "errors in Ruby, and elsewhere",
           found.count - [found.invalid, found.tls, found.lost].sum(&:size)
      tell "errors in TLS", found.tls.size
      promise "errors in this library", found.invalid.size, equals: 0
      promise "memory that it has lost", found.lost_bytes, "bytes", equals: 0
      (found.invalid + found.lost).each { |error| warn(error) }
    end
  end

  # The core's own tests with a compiler that checks every access.
  class Sanitized < Fault
    fault "asan", "the core's tests under AddressSanitizer", quick: false, limit: 1800

    # Options: what is never freed is memcheck's to count, for the tests leak a text or two.
    ENVIRONMENT = {
      "RUSTFLAGS" => "-Zsanitizer=address", "ASAN_OPTIONS" => "detect_leaks=0",
      "CARGO_TARGET_DIR" => "tmp/asan"
    }.freeze
    TARGET = RbConfig::CONFIG["host_cpu"].then { |cpu| "#{cpu}-unknown-linux-gnu" }

    def run
      unless system("cargo", "+nightly", "--version", %i[out err] => File::NULL)
        return leave_out("AddressSanitizer", "it takes a nightly Rust")
      end

      output, status = Open3.capture2e(ENVIRONMENT, *%w[cargo +nightly test --locked --tests
                                                        --no-fail-fast --target], TARGET,
                                       *%w[-- --skip a_bomb_costs_no_more_memory])
      passed = output.scan(/^test result: \w+\. (\d+) passed; (\d+) failed/)
      # The test of what a bomb costs measures the process, and so the sanitizer.
      promise "tests that pass", passed.sum { |ok, _| ok.to_i }, at_least: 1
      promise "tests that fail", passed.sum { |_, failed| failed.to_i }, equals: 0
      promise "errors of AddressSanitizer's", output.scan(/ERROR: AddressSanitizer/).size, equals: 0
      warn output unless status.success?
      promise "it ends", status.exitstatus.to_i, equals: 0
    end
  end
end
