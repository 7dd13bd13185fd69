# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket::MaskedString do
  subject(:string) { described_class.new("\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58".b) }

  it "is a String" do
    expect(string).to be_a(String).and have_attributes(bytesize: 9, encoding: Encoding::BINARY)
    expect(described_class.new).to eq("")
  end

  it "reads what is there until it has its mask" do
    expect([string.getbyte(4), string.getbytes(4, 5)]).to eq([0x7F, "\x7F\x9F\x4D\x51\x58".b])
  end

  it "reads through its mask once it has that" do
    expect(string.read_mask).to eq("\x37\xFA\x21\x3D".b)
    expect(Array.new(5) { |index| string.getbyte(4 + index).chr }.join).to eq("Hello")
    expect(string.getbytes(4, 5)).to eq("Hello")
  end

  it "counts from the beginning of the string wherever it is asked to read" do
    string.read_mask

    expect([string.getbytes(5, 3), string.getbytes(7, 1), string.getbytes(4, 0)])
      .to eq(["ell", "l", ""])
    expect(string.getbytes(0, 4)).to eq("\0\0\0\0".b)
  end

  it "has bytes that are ASCII-8BIT and a String of their own" do
    string.read_mask
    bytes = string.getbytes(4, 5)
    bytes << "!"

    expect(bytes).to be_instance_of(String).and have_attributes(encoding: Encoding::BINARY)
    expect(string.bytesize).to eq(9)
  end

  it "has no byte behind its end" do
    expect(string.getbyte(9)).to be_nil
    string.read_mask
    expect(string.getbyte(9)).to be_nil
  end

  it "gives what is there where it is asked for more", :fixed do
    string.read_mask

    expect([string.getbytes(7, 5), string.getbytes(10, 1)]).to eq(["lo", nil])
  end

  it "keeps its mask when something is cut off, or appended" do
    string.read_mask
    string.slice!(0, 4)
    string << 0x9F

    expect([string.getbytes(0, 5), string.getbyte(5)]).to eq(["Hello", 0x9F ^ 0xFA])
  end

  it "forgets its mask" do
    string.read_mask

    expect(string.unset_mask).to be_nil
    expect([string.getbyte(4), string.getbytes(4, 2)]).to eq([0x7F, "\x7F\x9F".b])
  end

  it "takes no mask where there are not four bytes" do
    expect { described_class.new("abc".b).read_mask }.to raise_error(RuntimeError, "Too short")
    expect(described_class.new("abcd".b).read_mask).to eq("abcd")
  end

  it "takes no mask from characters" do
    expect { described_class.new("abcdef").read_mask }
      .to raise_error(RuntimeError, "MaskedString only operates on BINARY strings")
  end
end
