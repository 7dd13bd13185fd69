# frozen_string_literal: true

require "open3"

# Single files, as some applications require them, each in a process of its own.
RSpec.describe EventMachine::WebSocket, "single files" do
  # Output that a fresh Ruby prints, with all its warnings.
  def ruby(program)
    load_path = $LOAD_PATH.flat_map { |directory| ["-I", directory.to_s] }
    output, status = Open3.capture2e(RbConfig.ruby, "-w", *load_path, "-e", program)
    raise output unless status.success?

    output
  end

  def requiring(file, program = "")
    ruby("require \"em-websocket/#{file}\"\n#{program}")
  end

  {
    "debugger" => "Debugger",
    "framing03" => "Framing03",
    "framing05" => "Framing05",
    "framing07" => "Framing07",
    "masking04" => "MaskedString"
  }.each do |file, constant|
    it "loads em-websocket/#{file} by itself" do
      output = requiring(file, "puts EventMachine::WebSocket.const_get(:#{constant})")

      expect(output.lines.last).to eq("EventMachine::WebSocket::#{constant}\n")
    end
  end

  {
    "connection" => "Connection",
    "framing04" => "Framing04",
    "handler" => "Handler13",
    "handshake" => "Handshake"
  }.each do |file, constant|
    it "loads em-websocket/#{file} by itself", :fixed do
      expect(requiring(file, "puts EventMachine::WebSocket::#{constant}"))
        .to eq("EventMachine::WebSocket::#{constant}\n")
    end
  end

  it "loads em-websocket/version by itself, for whoever only asks for that" do
    output = requiring("version", "puts EventMachine::Websocket::VERSION, defined?(EM).inspect")

    expect(output).to match(/\A\d+\.\d+\.\d+\S*\nnil\n\z/)
  end

  it "loads em-websocket/websocket by itself, with what a server needs", :fixed do
    output = requiring("websocket", <<~RUBY)
      EventMachine.run do
        puts EventMachine::WebSocket.run(host: "127.0.0.1", port: 0) {}.class
        EventMachine.stop
      end
    RUBY

    expect(output).to eq("Integer\n")
  end

  it "loads em-websocket/connection by itself, with what EM.start_server needs", :fixed do
    output = requiring("connection", <<~RUBY)
      EventMachine.run do
        connection = EventMachine::WebSocket::Connection
        puts EventMachine.start_server("127.0.0.1", 0, connection, {}).class
        puts connection.new(nil, {}).then { |ws| [ws.max_frame_size, ws.close_timeout].inspect }
        EventMachine.stop
      end
    RUBY

    expect(output).to eq("Integer\n[10485760, 60]\n")
  end

  %w[
    connection debugger framing03 framing04 framing05 framing07 handler handshake masking04 version
    websocket
  ].each do |file|
    it "gets the whole library from a later em-websocket, after em-websocket/#{file}", :fixed do
      output = requiring(file, <<~RUBY)
        require "em-websocket"
        require "em-websocket/#{file}"
        names = %i[Connection Framing07 Handler13 Handshake MaskedString]
        puts (names - EventMachine::WebSocket.constants).inspect
      RUBY

      expect(output).to eq("[]\n")
    end
  end
end
