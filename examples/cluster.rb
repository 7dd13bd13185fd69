# frozen_string_literal: true

# A chat of several processes on one port: whoever is connected to one of them hears what is said in
# any. One that dies is replaced; its clients come back, to another, and miss nothing.
#
#   ruby -Ilib examples/cluster.rb [port]              (8080 by default; 0: any free port)
#   PUBSUB=redis://127.0.0.1:6379 PROCESSES=8 ruby -Ilib examples/cluster.rb
#
# Without PUBSUB the processes meet in a directory, and need no broker: one of them has the history,
# which ends with it. With a Redis, start this on as many machines as you like.
#
# TERM to one process (each says its number): it is replaced, its clients are told to come back, one
# after the other. TERM to this one, or Ctrl-C: so do all, and then nobody is left.
#
# A client is told first which process it is at, and whether it has got what it has missed
# (`/?since=` the position of the last message that it has): if not, what is kept, too. What comes
# meanwhile may stand in both; its position says so.

require "em-websocket"
require "json"
require "socket"
require "tmpdir"

# One process: a server of the chat.
module Chat
  ROOM = "chat"
  HISTORY = { size: 100, ttl: 3600, envelope: true }.freeze
  WITHIN = 5 # seconds over which clients are told to come back

  module_function

  def run(listener)
    EM::WebSocket.channels { history(ROOM, **HISTORY) }
    EM.run do
      trap("INT", "IGNORE") # Ctrl-C comes to all processes; the supervisor sends TERM
      trap("TERM") { EM::WebSocket.shutdown(10, within: WITHIN) { EM.stop } }
      EM::WebSocket.run(socket: listener, ping_interval: 30, http: { "/health" => :health }) do |ws|
        ws.onopen { |handshake| enter(ws, handshake.query["since"]) }
        ws.onmessage { |text| EM::WebSocket.publish(ROOM, text) }
      end
    end
  end

  # "" is no position: all of it is lost, then.
  def enter(client, since)
    client.subscribe(ROOM, since: since || "") do |recovered|
      kept = EM::WebSocket.history(ROOM) unless recovered
      client.send(JSON.generate({ process: Process.pid, recovered: recovered, kept: kept }.compact))
    end
  end
end

# The first process, which serves nobody: it keeps the others going.
class Supervisor
  PAUSE = 0.5 # seconds between two looks: one that cannot begin is not begun without end

  def initialize(count, &work)
    @work = work
    @pids = Array.new(count) { start }
  end

  def run
    is_over = false
    %w[INT TERM].each { |signal| trap(signal) { is_over = true } }
    until is_over
      replace_ended
      sleep PAUSE
    end
    Process.kill("TERM", *@pids)
    Process.waitall
  end

  private

  def start
    pid = fork do
      trap("TERM", "DEFAULT") # what this one does is the supervisor's
      @work.call
    end
    pid.tap { puts "Process #{pid} begins" }
  end

  def replace_ended
    while (pid = @pids.find { |one| Process.wait(one, Process::WNOHANG) })
      puts "Process #{pid} has ended: #{Process.last_status}"
      @pids[@pids.index(pid)] = start
    end
  end
end

$stdout.sync = true
listener = TCPServer.new(ENV.fetch("HOST", "127.0.0.1"), ARGV[0] || ENV["PORT"] || 8080)
Dir.mktmpdir("cluster") do |directory| # which nobody else may enter
  EM::WebSocket.pubsub = ENV["PUBSUB"] || "ipc:#{directory}"
  puts "Chatting on ws://#{listener.addr[3]}:#{listener.addr[1]}/"
  Supervisor.new(Integer(ENV.fetch("PROCESSES", "3"))) { Chat.run(listener) }.run
end
