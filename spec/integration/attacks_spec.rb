# frozen_string_literal: true

# Every row of spec/support/attacks, each time with a look at a connection beside it. Em-websocket
# lets most of them pass, so it is not asked.
RSpec.describe EventMachine::WebSocket, "under attack", :fixed, :shared_reactor do
  # Sends the row's bytes; a frame follows a good handshake, a request is one.
  def assail(row, draft)
    @client = dial(draft, **@target.address(row.server))
    @seen = @target.seen_of(@client)
    if row.request?
      @client.write(bytes_of(row, @client.request(**row.request), @client))
    else
      @client.open(**row.request)
      @seen.pop
      @client.write(bytes_of(row, @client))
    end
  end

  def bytes_of(row, *arguments) = row.bytes ? row.bytes.call(*arguments) : arguments.first

  def a_text(text) = text.is_a?(Regexp) ? match(text) : eq(text)

  def expect_refusal(row)
    answer = @client.read_response || {}
    expect(answer[:status]).to start_with("HTTP/1.1 #{row.status} ")
    length = "Content-Length: #{@client.read_to_end.bytesize}"
    expect(answer[:lines]).to include(/\AConnection: (Upgrade, )?close\z/, length)
    versions = row.server == :strict ? "13, 8" : "13"
    wanted = ["Upgrade: websocket", "Sec-WebSocket-Version: #{versions}"]
    expect(answer[:lines]).to include(*wanted) if row.status == 426
    expect_handshake_error(row)
  end

  def expect_silence(row)
    expect(@client.read_response).to be_nil
    expect(@client.read_to_end).to eq("")
    expect_handshake_error(row)
  end

  def expect_handshake_error(row)
    expect(@seen.pop).to have_attributes(
      name: :error, state: :handshake, value: be_instance_of(EM::WebSocket::HandshakeError)
        .and(have_attributes(message: a_text(row.text)))
    )
  end

  def expect_opening(row)
    @client.read_response(@client.draft.trailer.bytesize)

    expect(@client.response[:status]).to eq(@client.draft.status)
    expect(@client.response[:lines]).not_to include(row.absent) if row.absent
    expect_open(row)
    expect_messages(row.replies, row.tells)
    @client.text("and on")
    expect_messages([[:text, "and on"]], [[:message, "and on"]])
  end

  def expect_open(row)
    opened = @seen.pop
    expect(opened.name).to eq(:open)
    expect(opened.value.path).to eq(row.path) if row.path
  end

  def expect_talk(row) = expect_messages(row.replies, row.tells)

  # Bytes that come back, and what the application is told.
  def expect_messages(replies, tells)
    replies.each do |type, payload|
      expect(@client.read_frame).to have_attributes(type: type, payload: payload.b)
    end
    tells.each do |name, payload|
      expect(@seen.pop).to have_attributes(name: name, value: payload)
    end
  end

  def expect_failure(row)
    draft = @client.draft
    text = row.text_for(draft)
    expect_messages(row.replies, row.tells)
    body = draft.close_body(row.code, text)
    expect(@client.read(:close)).to eq(body) if body
    expect(@client.read_to_end).to eq("")
    expect(@seen.pop).to have_attributes(
      name: :error, state: draft.close == :tcp ? :connected : :closing,
      value: be_instance_of(Attacks::ERRORS.fetch(row.code))
        .and(have_attributes(message: a_text(text), code: row.code))
    )
    expect(@seen.pop).to have_attributes(name: :close, value: { code: 1006, was_clean: false })
  end

  def expect_goodbye(row)
    draft = @client.draft
    expect(@client.read(:close)).to eq(draft.reply_body(row.code, row.reason) || "\0".b)
    expect(@client.read_to_end).to eq("")
    expect(@seen.pop).to have_attributes(
      name: :close, value: draft.close_event(row.code, row.reason)
    )
  end

  # Events that the application has still been told of the attacker; what has come of the others.
  def expect_nothing_else(row)
    @target.settle
    expect(@seen.drain).to be_empty
    talk = @target.bystander(row.server).talk
    expect(talk).to eq(echo: talk[:word], word: talk[:word], told: [[:message, talk[:word]]])
  end

  {
    "in the background" => {}, "on EventMachine's own sockets" => { attached: true },
    "over TLS" => { secure: true }, "over EventMachine's TLS" => { attached: true, secure: true }
  }.each do |way, how|
    describe way do
      before(:context) { @target = Attacks::Target.new(**how) }
      after(:context) { @target.stop }

      Attacks.tables.each do |table|
        describe table.title do
          table.rows.product(Drafts::ALL).each do |row, draft|
            next unless row.drafts.include?(draft.number)
            next if how[:secure] && draft != Drafts::RFC

            it "#{draft}: #{row}", pending: row.pending do
              assail(row, draft)
              send(:"expect_#{row.outcome}", row)
              expect_nothing_else(row)
            end
          end
        end
      end
    end
  end
end
