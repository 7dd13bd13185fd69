# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket, "with :debug" do
  # Lines that a server prints while this happens.
  def printed
    written = StringIO.new
    before = $stdout
    $stdout = written
    yield
    server.stop
    written.string
  ensure
    $stdout = before
  end

  it "prints what happens to each connection" do
    text = printed do
      serve(debug: true)
      client = connect
      client.text("in the log")
      client.read_text
      client.close(1000)
      client.read_to_end
      next_event until events.empty?
    end

    expect(text.scan(/^\[\[:\w+/)).to include(
      "[[:initialize", "[[:receive_data", "[[:accepting_ws_version", "[[:upgrade_response",
      "[[:message_received", "[[:sending_frame", "[[:close_frame_received", "[[:unbind"
    )
    expect(text).to include(
      "[[:accepting_ws_version, 13]]", '[[:message_received, :text, "in the log"]]',
      "[[:unbind, :connection]]"
    )
  end

  it "prints errors and the codes that the application closes with" do
    text = printed do
      serve(debug: true)
      client = connect
      client.text("\xFF")
      client.read_to_end
      connect
      server.connection
      ws = server.connection
      server.call { ws.close(4000) }
    end

    expect(text).to include("[[:closing, 4000]]")
    expect(text)
      .to match(/^\[\[:error, #<EventMachine::WebSocket::InvalidDataError: Invalid UTF8 data>\]\]/)
  end

  it "prints nothing without it" do
    text = printed do
      serve
      client = connect
      client.text("quiet")
      client.read_text
    end

    expect(text).to eq("")
  end
end
