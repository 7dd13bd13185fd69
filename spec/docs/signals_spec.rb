# frozen_string_literal: true

require_relative "../apps/program"
require_relative "../../rakelib/page"

# The rows of docs/signals.md, each done to a program.
RSpec.describe "docs/signals.md", :extension, timeout: 60 do
  page = Page.new("docs/signals.md")
  server = <<~'RUBY'
    (host: "127.0.0.1", port: PORT%s) do |ws|
      ws.onopen { ws.send("open") }
      ws.onclose { |event| puts event[:code] }
    end
  RUBY
  programs = {
    "start" => "EM::WebSocket.start#{format(server, "")}",
    "start with :graceful" => "EM::WebSocket.start#{format(server, ", graceful: 10")}",
    "start with certificates" => "EM::WebSocket.start#{format(server, <<~RUBY)}",
      , secure: true, tls_options: { private_key_file: "#{Certificate.key_file}",
      cert_chain_file: "#{Certificate.chain_file}" }
    RUBY
    "run" => "EM.run { EM::WebSocket.run#{format(server, "")} }"
  }

  # Runs one of the programs and gives the block it, and a client of it.
  define_method(:with_client) do |name, &block|
    port, = Program.free_ports(1)
    code = "$stdout.sync = true; PORT = #{port}\n#{programs.fetch(name)}"
    Program.ruby("-r", "em-websocket", "-e", code) do |program|
      client = reach(port, tls: name.include?("certificates"))
      expect(client.read_text).to eq("open")
      block.call(program, client)
    end
  end

  def end_of(client) = client.read_frame&.then { |frame| [frame.type, frame.payload.unpack1("n")] }

  at_once = { "start" => 0, "run" => nil }
  rows = { "TERM" => at_once, "INT" => at_once }
  %w[HUP QUIT USR1 USR2 ALRM].each do |signal|
    rows[signal] = { "start" => nil, "start with :graceful" => nil, "run" => nil }
  end
  rows["KILL"] = rows["HUP"]

  rows.each do |signal, columns|
    columns.each do |name, status|
      it "#{signal} to #{name}: #{status ? "exits with #{status}" : "ends by it"}, cut off" do
        with_client(name) do |program, client|
          ended = program.stop(signal)
          expect(status ? ended.exitstatus : ended.termsig).to eq(status || Signal.list[signal])
          expect(client).to be_eof
          expect(program.output.scan(/^\d+$/)).to eq(signal == "KILL" ? [] : ["1006"])
        end
      end
    end
  end

  %w[TERM INT].each do |signal|
    it "#{signal} to start with :graceful: closes with 1001 and exits with 0" do
      with_client("start with :graceful") do |program, client|
        Process.kill(signal, program.pid)
        expect(end_of(client)).to eq([:close, 1001])
        client.close(1001)
        expect(program.join).to be_success
        expect(program.output.scan(/^\d+$/)).to eq(["1001"])
      end
    end

    it "a second #{signal} to start with :graceful: at once" do
      with_client("start with :graceful") do |program, client|
        Process.kill("TERM", program.pid)
        expect(end_of(client)).to eq([:close, 1001])
        expect(program.stop(signal)).to be_success
        expect(program.output.scan(/^\d+$/)).to eq(["1006"])
      end
    end
  end

  it "USR1, PIPE, CHLD, WINCH, STOP and CONT leave clients, where certificates are files" do
    with_client("start with certificates") do |program, client|
      %w[USR1 PIPE CHLD WINCH STOP CONT].each { |signal| Process.kill(signal, program.pid) }
      client.ping("still there?")
      expect(client.read(:pong)).to eq("still there?")
    end
  end

  it "has a row for each of these signals" do
    named = page.text.lines.grep(/\A\| [A-Z]/).join.scan(/\b[A-Z]+\d?\b/)
    expect(named).to include(*rows.keys, *%w[PIPE CHLD WINCH STOP CONT])
  end
end
