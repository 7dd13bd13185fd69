# frozen_string_literal: true

# Calls in a signal handler, where Ruby lets nobody take a lock.
RSpec.describe EventMachine::WebSocket, "in a signal handler" do
  # A process of its own, whose main thread is the reactor's; or which has a reactor beside it.
  def run_trapped(body, beside: false)
    run_apart(<<~RUBY)
      #{Apart::CLIENT}
      $stdout.sync = true
      started = nil
      ready = Queue.new
      serve = lambda do
        EM.run do
          signature = EM::WebSocket.run(host: "127.0.0.1", port: 0) do |ws|
            ws.onopen { ready << [ws, signature] }
          end
          Thread.new { $client = client(Socket.unpack_sockaddr_in(EM.get_sockname(signature)).first) }
        end
      end
      said = Queue.new
      handle = lambda do |ws, signature|
        trap("USR1") do
          said << begin
            #{body}
          rescue Exception => e
            "\#{e.class}: \#{e.message}"
          end
        end
        Process.kill(:USR1, Process.pid)
      end
      told = Thread.new do
        ws, signature = ready.pop
        handle.call(ws, signature)
        p said.pop
        EM.next_tick { EM.stop }
      end
      #{beside ? "Thread.new(&serve).join" : "serve.call"}
      told.join(5)
    RUBY
  end

  {
    "run" => ["EM::WebSocket.run(host: '127.0.0.1', port: 0) { |ws| }.class", "Integer"],
    "run with TLS" => [
      "EM::WebSocket.run(host: '127.0.0.1', port: 0, secure: true) { |ws| }.class", "Integer"
    ],
    "EM.stop_server" => ["EM.stop_server(signature)", "nil"],
    "EM.get_sockname" => ["EM.get_sockname(signature).class", "String"],
    "EM.connection_count" => ["EM.connection_count.class", "Integer"],
    "send" => ["ws.send('x')", "nil"],
    "send_binary" => ["ws.send_binary('x')", "3"],
    "ping" => ["ws.ping('x')", "true"],
    "state" => ["ws.state", ":connected"],
    "close" => ["ws.close(1000); ws.state", ":closing"],
    "close_connection" => ["ws.close_connection", "nil"],
    "pause and resume" => ["ws.pause; ws.resume; ws.paused?", "false"]
  }.each do |name, (body, answer)|
    [false, true].each do |beside|
      where = beside ? "beside the reactor" : "on the reactor's thread"
      it "does what it does elsewhere: #{name}, #{where}" do
        expect(run_trapped(body, beside: beside).lines.last).to eq("#{answer}\n")
      end
    end
  end

  {
    "stats" => ["EM::WebSocket.stats[:connections]", "1"],
    "stats of one server" => ["EM::WebSocket.stats(signature)[:connections]", "1"],
    "broadcast" => ["EM::WebSocket.broadcast([ws], 'x')", "1"],
    "shutdown" => ["EM::WebSocket.shutdown { }", "nil"],
    "reload_tls" => ["EM::WebSocket.reload_tls", "[]"]
  }.each do |name, (body, answer)|
    [false, true].each do |beside|
      where = beside ? "beside the reactor" : "on the reactor's thread"
      it "does what it does elsewhere: #{name}, #{where}", :extension do
        expect(run_trapped(body, beside: beside).lines.last).to eq("#{answer}\n")
      end
    end
  end

  it "runs the block of a shutdown outside of the handler, where locks can be taken", :extension do
    said = run_apart(<<~RUBY)
      EM.run do
        EM::WebSocket.run(host: "127.0.0.1", port: 0) { |ws| }
        trap("TERM") do
          EM::WebSocket.shutdown do
            Mutex.new.synchronize { puts "done" }
            EM.stop
          end
        end
        EM.next_tick { Process.kill(:TERM, Process.pid) }
      end
    RUBY

    expect(said).to eq("done\n")
  end

  it "serves who comes to a server that was started there" do
    said = run_apart(<<~RUBY)
      #{Apart::CLIENT}
      EM.run do
        trap("USR1") do
          signature = EM::WebSocket.run(host: "127.0.0.1", port: 0) do |ws|
            ws.onopen do
              puts "open"
              EM.stop
            end
          end
          port = Socket.unpack_sockaddr_in(EM.get_sockname(signature)).first
          Thread.new { client(port) }
        end
        EM.next_tick { Process.kill(:USR1, Process.pid) }
        EM.add_timer(5) { EM.stop }
      end
    RUBY

    expect(said).to eq("open\n")
  end
end
