# frozen_string_literal: true

# A forked child's share of its parent's servers: nothing, and it waits for nobody.
RSpec.describe EventMachine::WebSocket, "in a forked child" do
  # The parent says what the child, forked in the block, has made of it.
  program = lambda do |body, options = ""|
    <<~RUBY
      #{Apart::CLIENT}
      $stdout.sync = true
      fork_off = lambda do
        pid = fork
        next true unless pid

        Thread.new do
          status = Process.wait2(pid).last
          puts status.success? ? "fine" : status.inspect
          EM.stop
        end
        false
      end
      EM.run do
        EM.add_timer(10) { EM.stop }
        signature = EM::WebSocket.run(host: "127.0.0.1", port: 0#{options}) do |ws|
          #{body}
        end
        port = Socket.unpack_sockaddr_in(EM.get_sockname(signature)).first
        # Not before the loop's second round: the signal of next_tick, which run has called, waits
        # in a pipe that parent and child would share (docs/connections.md).
        EM.add_timer(0.01) do
          Thread.new do
            first = client(port)
            3.times { first.write(frame(1, "hello")) }
            first.write(frame(9, "ping"))
            first.close_write
            first.read
          rescue SystemCallError, EOFError
            nil # The child may be who has closed it.
          end
        end
      end
    RUBY
  end

  {
    "the accept block" => "exit if fork_off.call",
    "onopen" => "ws.onopen { ws.send('before'); exit if fork_off.call }",
    "onmessage" =>
      "n = 0; ws.onmessage { ws.send('before'); exit if (n += 1) == 2 && fork_off.call }",
    "onping" => "ws.onping { exit if fork_off.call }",
    "onclose" => "ws.onclose { exit if fork_off.call }"
  }.each do |where, body|
    it "ends as it likes where #{where} has forked it" do
      expect(run_apart(program.call(body))).to eq("fine\n")
    end

    it "may return from #{where}, and run a reactor of its own", :fixed do
      # It leaves the drain that is the parent's, and EventMachine's loop by an exception.
      leave = body.sub("exit if", "throw :child if")
      said = run_apart(<<~RUBY)
        child = true
        catch(:child) do
          #{program.call(leave)}
          child = false
        end
        exit unless child
        EM.run do
          signature = EM::WebSocket.run(host: "127.0.0.1", port: 0) do |ws|
            ws.onopen { EM.stop }
          end
          port = Socket.unpack_sockaddr_in(EM.get_sockname(signature)).first
          Thread.new { client(port) }
          EM.add_timer(5) { exit!(1) }
        end
      RUBY

      expect(said).to eq("fine\n")
    end

    it "may return from #{where} into the reactor's loop, and end later", :fixed do
      stay = body.sub(/exit if (.*fork_off.call)/, 'EM.add_timer(0.05) { exit } if \1')
      expect(run_apart(program.call(stay))).to eq("fine\n")
    end
  end

  it "ends as it likes where onrequest has forked it", :extension do
    said = run_apart(program.call("ws.onrequest { exit if fork_off.call }"))

    expect(said).to eq("fine\n")
  end

  it "does nothing with its parent's connections, and waits for no lock of the parent's",
     :extension do
    said = run_apart(program.call(<<~RUBY))
      first = true
      ws.onmessage do
        next unless first
        first = false
        next unless fork_off.call

        ws.remote_ip == "127.0.0.1" && ws.state == :closed && ws.send("x").nil? or exit!(2)
        ws.send_binary("x") == -1 && !ws.ping("x") && ws.get_outbound_data_size.zero? or exit!(3)
        EM::WebSocket.broadcast([ws], "x").zero? && EM::WebSocket.stats.nil? or exit!(4)
        ws.close
        ws.close_connection
        ws.comm_inactivity_timeout = 1
        ws.max_frame_size = 1
        ws.pause
        ws.resume
        ws.outbound_high_water = 1
        ws.ondrain {}
        EM.close_connection(ws.signature, true)
        EM.connection_count
        GC.start
        exit!(0)
      end
    RUBY

    expect(said).to eq("fine\n")
  end

  # Each fork has its chance to come while a native thread holds a lock.
  it "neither hangs nor fails in 100 forks amid its parent's traffic", :extension, timeout: 60 do
    said = run_apart(<<~RUBY)
      #{Apart::CLIENT}
      require "timeout"
      $stderr.reopen(File::NULL)
      connections = []
      forks = hung = 0
      EM.run do
        signature = EM::WebSocket.run(host: "127.0.0.1", port: 0, compression: true) do |ws|
          ws.onopen { connections << ws }
          ws.onmessage { |text| ws.send(text) }
        end
        port = Socket.unpack_sockaddr_in(EM.get_sockname(signature)).first
        fork do
          Array.new(2) do
            Thread.new do
              socket = client(port)
              Thread.new { loop { socket.readpartial(65_536) } }
              loop { socket.write(frame(1, "h" * 100_000)) }
            end
          end.each(&:join)
        rescue SystemCallError, EOFError
          exit!(0)
        end
        EM.add_periodic_timer(0.005) do
          next if connections.size < 2

          child = fork do
            connections.each { |ws| [ws.remote_ip, ws.send("x"), ws.ping, ws.close, ws.close_connection] }
            EM::WebSocket.broadcast(connections, "x")
            exit!(0)
          end
          begin
            Timeout.timeout(3) { Process.wait(child) }
          rescue Timeout::Error
            hung += 1
            Process.kill(:KILL, child)
            Process.wait(child)
          end
          EM.stop if (forks += 1) == 100 || hung.positive?
        end
      end
      puts "\#{hung} hung"
    RUBY

    expect(said).to eq("0 hung\n")
  end

  it "serves by TLS with its parent's options", :extension, timeout: 30 do
    said = run_apart(<<~RUBY)
      require "openssl"
      $stdout.sync = true
      serve = lambda do |&block|
        EM.run do
          signature = EM::WebSocket.run(host: "127.0.0.1", port: 0, secure: true) { |ws| }
          port = Socket.unpack_sockaddr_in(EM.get_sockname(signature)).first
          Thread.new do
            context = OpenSSL::SSL::SSLContext.new
            context.verify_mode = OpenSSL::SSL::VERIFY_NONE
            OpenSSL::SSL::SSLSocket.new(TCPSocket.new("127.0.0.1", port), context).connect.close
            EM.next_tick(&block)
          end
        end
      end
      serve.call do
        Process.wait(fork { serve.call { exit!(0) } })
        puts "fine" if $?.success?
        EM.stop
      end
    RUBY

    # Its own certificate, which is warned of as the parent's: what the parent's has may be locked.
    expect(said.lines.grep(/\Aem-websocket: /).size).to eq(2)
    expect(said.lines.last).to eq("fine\n")
  end

  it "serves after Process.daemon, whatever server its parent had", :fixed do
    said = run_apart(<<~RUBY)
      read, write = IO.pipe
      Process.wait(fork do
        EM.run { EM::WebSocket.run(host: "127.0.0.1", port: 0) { |ws| }.then { EM.stop } }
        Process.daemon(true, true)
        EM.run do
          EM::WebSocket.run(host: "127.0.0.1", port: 0) { |ws| }
          EM.next_tick { EM.stop }
        end
        write.puts("served")
      end)
      write.close
      puts read.read
    RUBY

    expect(said).to eq("served\n")
  end
end
