# frozen_string_literal: true

require "fcntl"
require "rbconfig"
require "socket"
require_relative "server_process"

module Torture
  # A listening socket as systemd has one, and the processes that serve it, one after the other.
  class Activated
    PROGRAM = <<~'RUBY'
      ENV["LISTEN_PID"] = Process.pid.to_s
      EM.next_tick { EM.next_tick { $stdout.syswrite("ready\n") } }
      EM::WebSocket.start(socket: :systemd, graceful: { timeout: 5, within: Float(ARGV.first) }) do |ws|
        ws.onmessage { |text| ws.send(text) }
      end
    RUBY

    attr_reader :port

    # @param within [Numeric] seconds
    def initialize(within)
      @within = within
      @socket = TCPServer.new("127.0.0.1", 0)
      @socket.listen(4096)
      @port = @socket.local_address.ip_port
      @passed = IO.for_fd(@socket.fcntl(Fcntl::F_DUPFD, 64))
      @pids = []
    end

    # Starts a process, and ends the one before once it serves. The one that is ended.
    def replace
      start.then { @pids.shift if @pids.size > 1 }&.tap { |pid| Process.kill(:TERM, pid) }
    end

    def pid = @pids.last

    def close
      @pids.each { |pid| Process.kill(:KILL, pid).then { Process.wait(pid) } }
      [@socket, @passed].each(&:close)
    end

    private

    def start
      reader, writer = IO.pipe
      @pids << spawn({ "LISTEN_FDS" => "1" }, RbConfig.ruby, "-I", ServerProcess::LIBRARY,
                     "-r", "em-websocket", "-e", PROGRAM, @within.to_s,
                     3 => @passed, out: writer, err: File::NULL)
      writer.close
      raise ChildProcess::Failed, "the process does not serve" unless reader.gets == "ready\n"

      reader.close
    end
  end
end
